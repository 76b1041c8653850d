"""Texts that a search by words cannot look for: they have stop words and marks only."""

from gateway.domain.collections import CollectionSpec
from gateway.ports import VectorStore
from gateway.retrieval.query import Mode, Query

_MEANT = {
    Mode.LEXICAL: "it finds nothing by words; add a word that tells more, or search by mode dense",
    Mode.HYBRID: "it is searched by meaning alone",
}


def wordless_warnings(store: VectorStore, spec: CollectionSpec, query: Query) -> list[str]:
    """Return what to say of each text of a search by words (or by both) that has no word to look for."""
    if spec.lexical is None or query.mode not in _MEANT:
        return []
    names = ["the query"]
    if len(query.asks) > 1:
        names = [f"text {number} of the query" for number in range(1, len(query.asks) + 1)]
    return [
        f"no word of {name} is indexed (it has stop words or marks only): {_MEANT[query.mode]}"
        for name, ask in zip(names, query.asks, strict=True)
        if not store.has_words(spec.lexical, ask.text)
    ]
