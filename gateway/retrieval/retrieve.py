"""The first stage: what the store finds, by meaning, by words or by both."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from gateway.domain.fusion import fuse_equals
from gateway.domain.order import ranked
from gateway.domain.search import (
    DenseQuery,
    Hit,
    HybridQuery,
    LexicalQuery,
    Pass,
    StageScore,
    StoreQuery,
)
from gateway.errors import InvalidRequest
from gateway.ports import VectorStore
from gateway.retrieval.query import Ask, Mode, Query, Stage, noted
from gateway.together import together

MOST_CANDIDATES: Final = 10_000
"""How deep a search looks for further documents before it answers with what it has."""
_FURTHER: Final = 4
"""How much deeper each further look goes."""


def retrieve(store: VectorStore) -> Stage:
    """Best chunks by the query's mode; with grouping, as many as needed to fill the page."""

    async def stage(query: Query, _hits: Sequence[Hit]) -> Sequence[Hit]:
        name = query.mode.value if len(query.asks) == 1 else "queries"
        found, limit = _Found(store, query), min(query.depth, MOST_CANDIDATES)
        while True:
            hits = await found.first(limit)
            exhausted = len(hits) < limit or limit >= MOST_CANDIDATES
            documents = len({hit.chunk.document_id for hit in hits})
            if query.group is None or exhausted or documents >= query.reach:
                return noted(name, hits)
            limit = min(limit * _FURTHER, MOST_CANDIDATES)

    return stage


class _Found:
    """The hits of one search as far as they were asked for.

    A wider ranking would order the first hits anew, and pages would repeat some and hide others: so
    those behind the query's width are appended from wider rankings, where no narrower one had them.
    """

    def __init__(self, store: VectorStore, query: Query) -> None:
        self._store, self._query = store, query
        steady = not query.fuses and query.coarse is None
        self._width = MOST_CANDIDATES if steady else min(query.width, MOST_CANDIDATES)
        self._hits: dict[UUID, Hit] = {}

    async def first(self, limit: int) -> list[Hit]:
        """Return the first so many hits, fewer where there are no more."""
        while True:
            asked = min(limit, self._width)
            more = await _ranking(self._store, self._query, asked, self._width)
            for hit in more:
                self._hits.setdefault(hit.id, hit)
            last = len(more) < self._width or self._width >= MOST_CANDIDATES
            if len(self._hits) >= limit or last:
                return list(self._hits.values())[:limit]
            self._width = min(_FURTHER * self._width, MOST_CANDIDATES)


async def _ranking(store: VectorStore, query: Query, limit: int, width: int) -> list[Hit]:
    """Return the hits of one text, or of several fused by their ranks."""
    if len(query.asks) == 1:
        asked = store_query(query, query.asks[0], limit, width)
        hits = await store.query(query.collection, asked)
        query.passes.extend(_passes(asked))
        return hits
    asked = [store_query(query, ask, width, width) for ask in query.asks]
    answers = await together([_timed(store, query.collection, each) for each in asked])
    lists = [hits for hits, _ in answers]
    if query.explain:
        _tell_texts(query, asked, answers)
    scores = fuse_equals([[(hit.id, hit.score) for hit in hits] for hits in lists], query.fusion.k)
    first = {hit.id: hit for hits in reversed(lists) for hit in reversed(hits)}
    stages: dict[object, tuple[StageScore, ...]] = {}
    for number, hits in enumerate(lists, start=1):
        for rank, hit in enumerate(hits, start=1):
            own = [replace(each, stage=f"{each.stage} {number}") for each in hit.stages]
            told = StageScore(f"{query.mode.value} {number}", hit.score, rank)
            stages[hit.id] = (*stages.get(hit.id, ()), *own, told)
    fused = ranked(
        replace(first[key], score=score, stages=stages[key]) for key, score in scores.items()
    )
    least = query.score_threshold if query.rerank is None else None
    return [hit for hit in fused[:limit] if least is None or hit.score >= least]


async def _timed(store: VectorStore, collection: str, asked: StoreQuery) -> tuple[list[Hit], float]:
    started = time.perf_counter()
    return await store.query(collection, asked), time.perf_counter() - started


def _tell_texts(
    query: Query, asked: Sequence[StoreQuery], answers: Sequence[tuple[list[Hit], float]]
) -> None:
    """Add the passes of each text, by its number, and after them its ranking as one of its own."""
    for number, (each, (hits, seconds)) in enumerate(zip(asked, answers, strict=True), start=1):
        passes = _passes(each)
        query.passes.extend(replace(one, stage=f"{one.stage} {number}") for one in passes)
        name = f"{query.mode.value} {number}"
        query.passes.append(Pass(name, given_of(passes), len(hits), seconds))


def _passes(asked: StoreQuery) -> list[Pass]:
    """Return what a store told; a search for words alone is one look, and tells nothing else."""
    return [] if isinstance(asked, LexicalQuery) else asked.passes


def given_of(passes: Sequence[Pass]) -> int:
    """Return the hits that passes left to the stage that they belong to."""
    return sum(one.hits - one.candidates for one in passes)


def store_query(query: Query, ask: Ask, limit: int, width: int) -> StoreQuery:
    """Return what to ask a store for the first `limit` hits of one text.

    `width` hits of each half are fused, and so many wanted of a first pass over short vectors.
    """
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
    dense = _dense(query, ask, limit, width)
    if query.mode is Mode.DENSE:
        return replace(dense, score_threshold=threshold)
    return HybridQuery(
        dense=dense,
        text=ask.text,
        limit=limit,
        candidates=width,
        fusion=query.fusion,
        score_threshold=threshold,
        explain=query.explain,
    )


def coarse_candidates(oversampling: float | None, wanted: int) -> int | None:
    """How many candidates a pass over short vectors leaves for `wanted` hits; None: there is none."""
    if oversampling is None:
        return None
    return min(MOST_CANDIDATES, max(wanted, round(wanted * oversampling)))


def _dense(query: Query, ask: Ask, limit: int, width: int) -> DenseQuery:
    if ask.vector is None:
        raise InvalidRequest("a search by meaning needs a vector", field="mode")
    return DenseQuery(
        vector=ask.vector,
        limit=limit,
        space=query.space,
        where=query.where,
        exact=query.exact,
        coarse=coarse_candidates(query.coarse, width),
        explain=query.explain,
        with_vectors=query.mmr is not None,
    )
