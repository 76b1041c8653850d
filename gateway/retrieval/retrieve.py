"""The first stage: what the store finds, by meaning, by words or by both."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.domain.fusion import fuse_equals
from gateway.domain.search import (
    DenseQuery,
    Hit,
    HybridQuery,
    LexicalQuery,
    StageScore,
    StoreQuery,
    ranked,
)
from gateway.errors import InvalidRequest
from gateway.ports import VectorStore
from gateway.retrieval.query import Ask, Mode, Query, Stage, noted

MOST_CANDIDATES: Final = 10_000
"""How deep a search looks for further documents before it answers with what it has."""


def retrieve(store: VectorStore) -> Stage:
    """Best chunks by the query's mode; with grouping, as many as needed to fill the page."""

    async def stage(query: Query, _hits: Sequence[Hit]) -> Sequence[Hit]:
        limit = query.depth if query.group is None else max(query.depth, 4 * query.wanted)
        limit = min(limit, MOST_CANDIDATES)
        while True:
            hits = await _found(store, query, limit)
            exhausted = len(hits) < limit or limit >= MOST_CANDIDATES
            documents = len({hit.chunk.document_id for hit in hits})
            if query.group is None or exhausted or documents >= query.wanted:
                return hits
            limit = min(limit * 4, MOST_CANDIDATES)

    return stage


async def _found(store: VectorStore, query: Query, limit: int) -> list[Hit]:
    """Return the hits of one text, or of several fused by their ranks."""
    asked = [store_query(query, ask, limit) for ask in query.asks]
    if len(asked) == 1:
        return noted(query.mode.value, await store.query(query.collection, asked[0]))
    lists = await asyncio.gather(*(store.query(query.collection, each) for each in asked))
    scores = fuse_equals([[(hit.id, hit.score) for hit in hits] for hits in lists], query.fusion.k)
    first = {hit.id: hit for hits in reversed(lists) for hit in reversed(hits)}
    stages: dict[object, tuple[StageScore, ...]] = {}
    for number, hits in enumerate(lists, start=1):
        for rank, hit in enumerate(hits, start=1):
            told = StageScore(f"{query.mode.value} {number}", hit.score, rank)
            stages[hit.id] = (*stages.get(hit.id, ()), told)
    fused = ranked(
        replace(first[key], score=score, stages=stages[key]) for key, score in scores.items()
    )
    least = query.score_threshold if query.rerank is None else None
    return noted("queries", [hit for hit in fused[:limit] if least is None or hit.score >= least])


def store_query(query: Query, ask: Ask, limit: int) -> StoreQuery:
    """Return what to ask a store for the first `limit` hits of one text."""
    # a reranker's score is held against the threshold, and so are ranks of several texts
    threshold = query.score_threshold
    if query.rerank is not None or len(query.asks) > 1:
        threshold = None
    if query.mode is Mode.LEXICAL:
        return LexicalQuery(
            text=ask.text,
            limit=limit,
            space=query.space,
            where=query.where,
            score_threshold=threshold,
            with_vectors=query.mmr is not None,
        )
    dense = _dense(query, ask, limit)
    if query.mode is Mode.DENSE:
        return replace(dense, score_threshold=threshold)
    candidates = max(query.candidates, limit)
    return HybridQuery(
        dense=replace(dense, coarse=coarse_candidates(query.coarse, candidates)),
        text=ask.text,
        limit=limit,
        candidates=min(candidates, MOST_CANDIDATES),
        fusion=query.fusion,
        score_threshold=threshold,
        explain=query.explain,
    )


def coarse_candidates(oversampling: float | None, wanted: int) -> int | None:
    """How many candidates a pass over short vectors leaves for `wanted` hits; None: there is none."""
    if oversampling is None:
        return None
    return min(MOST_CANDIDATES, max(wanted, round(wanted * oversampling)))


def _dense(query: Query, ask: Ask, limit: int) -> DenseQuery:
    if ask.vector is None:
        raise InvalidRequest("a search by meaning needs a vector", field="mode")
    return DenseQuery(
        vector=ask.vector,
        limit=limit,
        space=query.space,
        where=query.where,
        exact=query.exact,
        coarse=coarse_candidates(query.coarse, limit),
        with_vectors=query.mmr is not None,
    )
