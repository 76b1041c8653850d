"""What a search by words looks through, in bytes, so that it can be held against vectors."""

from contextlib import aclosing
from typing import Any, Final

from gateway.domain.collections import CollectionSpec
from gateway.domain.footprint import WORD
from gateway.ports import VectorStore

SAMPLED: Final = 1_000
"""Chunks whose words are counted: the first by their ids, which are hashes, and so a fair sample."""


async def word_bytes(store: VectorStore, spec: CollectionSpec) -> int:
    """Return the bytes that the words of one chunk take, on average; 0 where none are indexed.

    Each distinct word of a chunk that is no stop word takes `WORD` bytes.

    Raises:
        CollectionNotFound, UpstreamError: the store failed.
    """
    from gateway.vectorstores.bm25 import document_vector, lexical_text  # noqa: PLC0415

    if spec.lexical is None:
        return 0
    chunks = words = 0
    scroll: Any = store.scroll(spec.name)
    async with aclosing(scroll) as found:
        async for stored in found:
            text = lexical_text({"title": stored.chunk.title, "text": stored.chunk.text})
            words += len(document_vector(spec.lexical, text)[0])
            chunks += 1
            if chunks == SAMPLED:
                break
    return round(WORD * words / max(1, chunks))
