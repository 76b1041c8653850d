"""Stages of a search, all of one shape: a query and the hits so far in, hits out."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from gateway.domain.search import (
    DenseQuery,
    Filter,
    Fusion,
    Hit,
    HybridQuery,
    LexicalQuery,
    StageScore,
    StoreQuery,
)
from gateway.domain.vectors import Vector
from gateway.ports import VectorStore


class Mode(StrEnum):
    """What a search compares: meaning (dense), words (lexical), or both (hybrid)."""

    AUTO = "auto"
    DENSE = "dense"
    LEXICAL = "lexical"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True)
class Query:
    """One search on its way through the stages. `vector` is unit float32, shape (size,), of `space`.

    `limit` and `offset` count hits, or documents when `by_document` asks for one hit (the best
    chunk) per document.
    """

    collection: str
    text: str
    vector: Vector
    space: str
    limit: int
    offset: int = 0
    where: Filter | None = None
    score_threshold: float | None = None
    by_document: bool = False
    exact: bool = False
    mode: Mode = Mode.DENSE
    coarse: int | None = None
    fusion: Fusion = field(default_factory=Fusion)
    candidates: int = 100


Stage: TypeAlias = Callable[[Query, Sequence[Hit]], Awaitable[Sequence[Hit]]]

MOST_CANDIDATES = 10_000
"""How deep grouping looks for further documents before it answers with what it has."""


def retrieve(store: VectorStore) -> Stage:
    """Best chunks by the query's mode; with grouping, as many as needed to fill the page."""

    async def stage(query: Query, _hits: Sequence[Hit]) -> Sequence[Hit]:
        wanted = query.offset + query.limit
        limit = wanted * 4 if query.by_document else wanted
        while True:
            hits = await store.query(query.collection, store_query(query, limit))
            exhausted = len(hits) < limit or limit >= MOST_CANDIDATES
            documents = len({hit.chunk.document_id for hit in hits})
            if not query.by_document or exhausted or documents >= wanted:
                return noted(query.mode.value, hits)
            limit = min(limit * 4, MOST_CANDIDATES)

    return stage


async def group(query: Query, hits: Sequence[Hit]) -> Sequence[Hit]:
    """Keep the best chunk of each document when the query asks for documents."""
    if not query.by_document:
        return hits
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(hit.chunk.document_id, hit)
    return list(best.values())


async def page(query: Query, hits: Sequence[Hit]) -> Sequence[Hit]:
    """Cut the page `offset : offset + limit` out of the hits."""
    return hits[query.offset : query.offset + query.limit]


def noted(stage: str, hits: Sequence[Hit]) -> list[Hit]:
    """Return hits with the stage's score and rank appended to each."""
    return [
        replace(hit, stages=(*hit.stages, StageScore(stage, hit.score, rank)))
        for rank, hit in enumerate(hits, start=1)
    ]


def store_query(query: Query, limit: int) -> StoreQuery:
    """Return what to ask a store for the first `limit` hits."""
    if query.mode is Mode.LEXICAL:
        return LexicalQuery(
            text=query.text,
            limit=limit,
            space=query.space,
            where=query.where,
            score_threshold=query.score_threshold,
        )
    dense = DenseQuery(
        vector=query.vector,
        limit=limit,
        space=query.space,
        where=query.where,
        score_threshold=query.score_threshold,
        exact=query.exact,
        coarse=query.coarse,
    )
    if query.mode is Mode.DENSE:
        return dense
    return HybridQuery(
        dense=replace(dense, score_threshold=None),
        text=query.text,
        limit=limit,
        candidates=max(query.candidates, limit),
        fusion=query.fusion,
        score_threshold=query.score_threshold,
    )
