"""BM25 vectors by Qdrant's own tokeniser, stop words and Snowball stemmers, for every store alike.

A document's vector holds what each word is worth in it, a query's holds 1 for each word; the store
multiplies them by how rare a word is in the collection (`idf`).
"""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import qdrant_edge as qe

from gateway.domain.lexical import AUTO, Lexical

Sparse = tuple[list[int], list[float]]
"""Hashes of words, rising, and the weight of each."""

SPARSE_NAME: Final = "bm25"
"""The named sparse vector of a point."""

_BY_SCRIPT: Final = {
    "russian": re.compile(r"\w*[\u0400-\u04ff]\w*"),
    "greek": re.compile(r"\w*[\u0370-\u03ff]\w*"),
    "arabic": re.compile(r"\w*[\u0600-\u06ff]\w*"),
}
_OTHERWISE: Final = "english"
_COUNTING: Final = 1000.0
_YO: Final = str.maketrans("ёЁѐЀѝЍ", "еЕеЕиИ")
_STRESS: Final = re.compile(r"(?<=[\u0400-\u04ff])[\u0300\u0301]+")
"""Marks of stress over Cyrillic letters, as encyclopaedias set them; they compose with few of them."""


def lexical_text(payload: Mapping[str, Any]) -> str:
    """Return the words of a point: its title, then its text."""
    title = payload["title"]
    return payload["text"] if title is None else f"{title}\n{payload['text']}"


def document_vector(lexical: Lexical, text: str) -> Sparse:
    """Weigh the words of one chunk; empty when it has none but stop words."""
    text = _composed(lexical, text)
    if lexical.language != AUTO:
        return _sorted(_model(lexical, lexical.language).embed_document(text))
    parts = list(_by_script(text))
    if len(parts) == 1:
        return _sorted(_model(lexical, parts[0][0]).embed_document(text))
    counts: dict[int, int] = {}
    for language, words in parts:
        for key, count in _counted(lexical, language, words):
            counts[key] = counts.get(key, 0) + count
    length = 1 - lexical.b + lexical.b * sum(counts.values()) / lexical.average_words
    keys = sorted(counts)
    return keys, [
        counts[key] * (lexical.k1 + 1) / (counts[key] + lexical.k1 * length) for key in keys
    ]


def query_vector(lexical: Lexical, text: str) -> Sparse:
    """Return the words of a query, each once; empty when it has none but stop words."""
    text = _composed(lexical, text)
    parts = _by_script(text) if lexical.language == AUTO else [(lexical.language, text)]
    keys = {key for language, words in parts for key in _query(lexical, language, words)}
    return sorted(keys), [1.0] * len(keys)


def idf(chunks: int, having: int) -> float:
    """How rare a word is that `having` of `chunks` contain: Qdrant's formula, never negative."""
    return math.log((chunks - having + 0.5) / (having + 0.5) + 1.0)


def _by_script(text: str) -> Iterator[tuple[str, str]]:
    """Part the words of a text by the language that their script stands for."""
    rest = text
    if not text.isascii():
        for language, pattern in _BY_SCRIPT.items():
            if words := pattern.findall(rest):
                yield language, " ".join(words)
                rest = pattern.sub(" ", rest)
    if rest.strip() or rest is text:
        yield _OTHERWISE, rest


def _query(lexical: Lexical, language: str, words: str) -> list[int]:
    return _model(lexical, language).embed_query(words).indices


def _counted(lexical: Lexical, language: str, words: str) -> Iterator[tuple[int, int]]:
    """Return how often each word occurs: got back from weights of which nothing else is left."""
    vector = _counter(language, folds=_folds(lexical, language)).embed_document(words)
    for key, value in zip(vector.indices, vector.values, strict=True):
        yield key, round(value * _COUNTING / (_COUNTING + 1 - value))


def _sorted(vector: qe.SparseVector) -> Sparse:
    pairs = sorted(zip(vector.indices, vector.values, strict=True))
    return [key for key, _ in pairs], [value for _, value in pairs]


@lru_cache(maxsize=256)
def _model(lexical: Lexical, language: str) -> qe.Bm25:
    return qe.Bm25(
        qe.Bm25Config(
            language=language,
            k=lexical.k1,
            b=lexical.b,
            avg_len=lexical.average_words,
            ascii_folding=_folds(lexical, language),
        )
    )


@lru_cache(maxsize=32)
def _counter(language: str, *, folds: bool) -> qe.Bm25:
    return qe.Bm25(qe.Bm25Config(language=language, k=_COUNTING, b=0.0, ascii_folding=folds))


def _composed(lexical: Lexical, text: str) -> str:
    """Return a text in one spelling: composed letters (NFKC), е for ё as Snowball wants it, no stress."""
    if not lexical.folding or text.isascii():
        return text
    return _STRESS.sub("", unicodedata.normalize("NFKC", text)).translate(_YO)


def _folds(lexical: Lexical, language: str) -> bool:
    """Tell whether accents are dropped: other languages' stop words and stemmers go by them."""
    return lexical.folding and language == _OTHERWISE
