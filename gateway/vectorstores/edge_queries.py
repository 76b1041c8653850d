"""Queries as the embedded engine answers them; runs in the worker process only.

The halves of a hybrid search are fetched without payload, ordered and fused by our own functions,
and only the hits of the page are read whole: ties are broken as in every store, and what each half
thought of a hit costs nothing.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
import qdrant_edge as qe

from gateway.domain.fusion import fuse
from gateway.domain.lexical import Lexical
from gateway.domain.order import settled
from gateway.domain.search import Fusion, FusionMethod, Pass
from gateway.domain.vectors import shorten
from gateway.vectorstores.bm25 import SPARSE_NAME, query_vector
from gateway.vectorstores.edge_conditions import to_edge_filter
from gateway.vectorstores.edge_shards import search_params, tuning_of
from gateway.vectorstores.payload import COARSE_NAME, VECTOR_NAME
from gateway.vectorstores.ranking import (
    COARSE,
    DENSE,
    HYBRID,
    LEXICAL,
    MAX_FETCH,
    SLACK,
    FirstPass,
    halves_of,
)

Score = tuple[str, float, int]
"""What a pass thought of a hit: its name, score and rank."""
Found = tuple[bytes, float, Any, bytes | None, Sequence[Score]]
"""A hit on its way out: id, score, payload, vector when asked for, and stages with score and rank."""
Ranking = list[tuple[UUID, float]]


@dataclass(frozen=True, slots=True)
class Asker:
    """One shard with the spec of its collection; `passes` gathers what an explained query tells."""

    shard: qe.EdgeShard
    spec: Mapping[str, Any]
    passes: list[Pass] = field(default_factory=list[Pass])

    def single(self, kind: str, asked: Mapping[str, Any]) -> list[Found]:
        """Return the first hits of a dense or a lexical search as the engine orders them."""
        left = self._first_pass(kind, asked)
        if (request := self._request(kind, asked, asked["limit"], left, whole=True)) is None:
            return []
        return [_found(hit, left) for hit in self.shard.query(request)]

    def hybrid(self, asked: Mapping[str, Any]) -> list[Found]:
        """Return the page `offset : offset + limit` of two searches fused."""
        left = self._first_pass(DENSE, asked)
        times = [time.perf_counter()]
        halves: dict[str, Ranking] = {}
        for kind in (DENSE, LEXICAL):
            halves[kind] = self._ranked(kind, asked, left)
            times.append(time.perf_counter())
        if asked["explain"]:
            sizes = [len(half) for half in halves.values()]
            self.passes[:] = halves_of(self.passes, sizes, np.diff(times).tolist())
        fused = fuse(list(halves.values()), _fusion(asked["fusion"]))
        scores = settled(fused.items())
        if asked["threshold"] is not None:
            scores = [pair for pair in scores if pair[1] >= asked["threshold"]]
        page = scores[asked["offset"] : asked["offset"] + asked["limit"]]
        with_vector = [VECTOR_NAME] if asked["with_vectors"] else False
        records = self.shard.retrieve([key for key, _ in page], True, with_vector)
        whole = {_key(record): record for record in records}
        stages = _stages(halves, left, [key for key, _ in page])
        return [
            (key.bytes, score, whole[key].payload, _vector(whole[key]), stages[key])
            for key, score in page
            if key in whole
        ]

    def _first_pass(self, kind: str, asked: Mapping[str, Any]) -> FirstPass | None:
        """Look through the short vectors by itself, where a query is to be explained."""
        if kind != DENSE or asked["coarse"] is None or not asked["explain"]:
            return None
        started = time.perf_counter()
        where = None if asked["where"] is None else to_edge_filter(asked["where"])
        hits = self.shard.query(qe.QueryRequest(filter=where, **self._short(asked)))
        left = FirstPass([_key(hit) for hit in hits], [hit.score for hit in hits])
        self.passes.append(Pass(COARSE, 0, len(left), time.perf_counter() - started))
        return left

    def _ranked(self, kind: str, asked: Mapping[str, Any], left: FirstPass | None) -> Ranking:
        """Return the candidates of one half, ties in order of id, whole at the end too."""
        wanted = asked["candidates"]
        limit = wanted + SLACK
        while (request := self._request(kind, asked, limit, left, whole=False)) is not None:
            hits = self.shard.query(request)
            ranking = settled((_key(hit), hit.score) for hit in hits)
            complete = len(hits) < limit or limit >= MAX_FETCH
            if complete or ranking[-1][1] < ranking[wanted - 1][1]:
                return ranking[:wanted]
            limit = min(limit * 4, MAX_FETCH)
        return []

    def _request(
        self,
        kind: str,
        asked: Mapping[str, Any],
        limit: int,
        left: FirstPass | None,
        *,
        whole: bool,
    ) -> qe.QueryRequest | None:
        """Return the engine's request; None when there is nothing to look for."""
        where = None if asked["where"] is None else to_edge_filter(asked["where"])
        if kind == LEXICAL:
            parts = self._lexical(asked)
        elif left is not None:
            where = qe.Filter(must=[qe.HasIdCondition(set(left.keys))])
            parts = self._full(asked) if left else None
        else:
            parts = self._dense(asked, where)
        if parts is None:
            return None
        return qe.QueryRequest(
            limit=limit,
            filter=where,
            with_payload=whole,
            with_vector=[VECTOR_NAME] if whole and asked["with_vectors"] else False,
            score_threshold=asked["threshold"] if whole else None,
            **parts,
        )

    def _dense(self, asked: Mapping[str, Any], where: Any) -> dict[str, Any]:
        if asked["coarse"] is None:
            # without a graph of their own, full vectors are searched exactly
            return {**self._full(asked), "params": self._params(asked)}
        return {
            **self._full(asked),
            "prefetches": [qe.Prefetch(filter=where, **self._short(asked))],
        }

    def _full(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        vector = np.frombuffer(asked["vector"], np.float32)
        return {"query": qe.Query.Nearest(vector.tolist(), using=VECTOR_NAME)}

    def _short(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        vector = np.frombuffer(asked["vector"], np.float32)
        short = shorten(vector[np.newaxis, :], self.spec["coarse"])[0]
        query = qe.Query.Nearest(short.tolist(), using=COARSE_NAME)
        return {"limit": asked["coarse"], "query": query, "params": self._params(asked)}

    def _params(self, asked: Mapping[str, Any]) -> qe.SearchParams:
        return search_params(tuning_of(self.spec), exact=asked["exact"], acorn=asked["acorn"])

    def _lexical(self, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        words, weights = query_vector(Lexical.from_json(self.spec["lexical"]), asked["text"])
        if not words:
            return None
        sparse = qe.SparseVector(words, weights)
        return {"query": qe.Query.Nearest(sparse, using=SPARSE_NAME)}


def _stages(
    halves: Mapping[str, Ranking], left: FirstPass | None, keys: Sequence[UUID]
) -> dict[UUID, list[Score]]:
    """Return what each pass thought of the hits of a page."""
    stages = {key: [_told(left, key)] if left and key in left else [] for key in keys}
    for kind, ranking in halves.items():
        for rank, (key, score) in enumerate(ranking, start=1):
            if key in stages:
                stages[key].append((kind, score, rank))
    return stages


def _told(left: FirstPass, key: UUID) -> Score:
    told = left.told(key)
    return told.stage, told.score, told.rank


def _fusion(asked: Mapping[str, Any]) -> Fusion:
    first, second = asked["weights"]
    return Fusion(FusionMethod(asked["method"]), asked["k"], (first, second))


def _found(hit: qe.ScoredPoint, left: FirstPass | None) -> Found:
    key = _key(hit)
    stages = [_told(left, key)] if left else []
    return key.bytes, hit.score, hit.payload, _vector(hit), stages


def _key(point: Any) -> UUID:
    """Return the id of a point, which is one of ours."""
    key = point.id  # the binding makes a new object each time
    return key if isinstance(key, UUID) else UUID(str(key))


def _vector(point: Any) -> bytes | None:
    named = point.vector
    return np.asarray(named[VECTOR_NAME], np.float32).tobytes() if named else None


Told = tuple[str, int, int, float]
"""A pass on its way out."""


def answer(
    shard: qe.EdgeShard, spec: Mapping[str, Any], kind: str, asked: Mapping[str, Any]
) -> tuple[list[Found], list[Told]]:
    """Answer a dense, a lexical or a hybrid query, with its passes where it is to be explained."""
    asker = Asker(shard, spec)
    found = asker.hybrid(asked) if kind == HYBRID else asker.single(kind, asked)
    return found, [astuple(each) for each in asker.passes]
