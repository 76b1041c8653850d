"""Queries as the embedded engine answers them; runs in the worker process only.

The halves of a hybrid search are fetched without payload, ordered and fused by our own functions,
and only the hits of the page are read whole: ties are broken as in every store, and what each half
thought of a hit costs nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np
import qdrant_edge as qe

from gateway.domain.collections import Lexical
from gateway.domain.fusion import fuse
from gateway.domain.search import Fusion, FusionMethod
from gateway.domain.vectors import shorten
from gateway.vectorstores.bm25 import SPARSE_NAME, query_vector
from gateway.vectorstores.edge_conditions import to_edge_filter
from gateway.vectorstores.edge_shards import search_params, tuning_of
from gateway.vectorstores.payload import COARSE_NAME, VECTOR_NAME
from gateway.vectorstores.ranking import MAX_FETCH, SCORE_DIGITS, SLACK

DENSE: Final = "dense"
LEXICAL: Final = "lexical"

Found = tuple[bytes, float, Any, bytes | None, Sequence[tuple[str, float, int]]]
"""A hit on its way out: id, score, payload, vector when asked for, and stages with score and rank."""
Ranking = list[tuple[UUID, float]]


@dataclass(frozen=True, slots=True)
class Asker:
    """One shard with the spec of its collection."""

    shard: qe.EdgeShard
    spec: Mapping[str, Any]

    def single(self, kind: str, asked: Mapping[str, Any]) -> list[Found]:
        """Return the first hits of a dense or a lexical search as the engine orders them."""
        if (request := self._request(kind, asked, asked["limit"], whole=True)) is None:
            return []
        return [_found(hit, ()) for hit in self.shard.query(request)]

    def hybrid(self, asked: Mapping[str, Any]) -> list[Found]:
        """Return the page `offset : offset + limit` of two searches fused."""
        halves = {kind: self._ranked(kind, asked) for kind in (DENSE, LEXICAL)}
        fused = fuse(list(halves.values()), _fusion(asked["fusion"]))
        scores = _settled(fused.items())
        if asked["threshold"] is not None:
            scores = [pair for pair in scores if pair[1] >= asked["threshold"]]
        page = scores[asked["offset"] : asked["offset"] + asked["limit"]]
        with_vector = [VECTOR_NAME] if asked["with_vectors"] else False
        records = self.shard.retrieve([key for key, _ in page], True, with_vector)
        whole = {UUID(str(record.id)): record for record in records}
        stages = _stages(halves)
        return [
            (key.bytes, score, whole[key].payload, _vector(whole[key]), stages[key])
            for key, score in page
            if key in whole
        ]

    def _ranked(self, kind: str, asked: Mapping[str, Any]) -> Ranking:
        """Return the candidates of one half, ties in order of id, whole at the end too."""
        wanted = asked["candidates"]
        limit = wanted + SLACK
        while (request := self._request(kind, asked, limit, whole=False)) is not None:
            hits = self.shard.query(request)
            ranking = _settled((UUID(str(hit.id)), hit.score) for hit in hits)
            complete = len(hits) < limit or limit >= MAX_FETCH
            if complete or ranking[-1][1] < ranking[wanted - 1][1]:
                return ranking[:wanted]
            limit = min(limit * 4, MAX_FETCH)
        return []

    def _request(
        self, kind: str, asked: Mapping[str, Any], limit: int, *, whole: bool
    ) -> qe.QueryRequest | None:
        """Return the engine's request; None when a text has no word to look for."""
        where = None if asked["where"] is None else to_edge_filter(asked["where"])
        build = self._dense if kind == DENSE else self._lexical
        if (parts := build(asked, where)) is None:
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
        vector = np.frombuffer(asked["vector"], np.float32)
        params = search_params(tuning_of(self.spec), exact=asked["exact"], acorn=asked["acorn"])
        query = qe.Query.Nearest(vector.tolist(), using=VECTOR_NAME)
        if asked["coarse"] is None:
            # without a graph of their own, full vectors are searched exactly
            return {"query": query, "params": params}
        short = shorten(vector[np.newaxis, :], self.spec["coarse"])[0]
        first = qe.Prefetch(
            limit=asked["coarse"],
            query=qe.Query.Nearest(short.tolist(), using=COARSE_NAME),
            filter=where,
            params=params,
        )
        return {"query": query, "prefetches": [first]}

    def _lexical(self, asked: Mapping[str, Any], _where: Any) -> dict[str, Any] | None:
        words, weights = query_vector(Lexical(**self.spec["lexical"]), asked["text"])
        if not words:
            return None
        sparse = qe.SparseVector(words, weights)
        return {"query": qe.Query.Nearest(sparse, using=SPARSE_NAME)}


def _settled(pairs: Any) -> Ranking:
    rounded = [(key, round(float(score), SCORE_DIGITS)) for key, score in pairs]
    return sorted(rounded, key=lambda pair: (-pair[1], pair[0].int))


def _stages(halves: Mapping[str, Ranking]) -> dict[UUID, list[tuple[str, float, int]]]:
    stages: dict[UUID, list[tuple[str, float, int]]] = {}
    for kind, ranking in halves.items():
        for rank, (key, score) in enumerate(ranking, start=1):
            stages.setdefault(key, []).append((kind, score, rank))
    return stages


def _fusion(asked: Mapping[str, Any]) -> Fusion:
    first, second = asked["weights"]
    return Fusion(FusionMethod(asked["method"]), asked["k"], (first, second))


def _found(hit: qe.ScoredPoint, stages: Sequence[tuple[str, float, int]]) -> Found:
    return UUID(str(hit.id)).bytes, hit.score, hit.payload, _vector(hit), stages


def _vector(point: Any) -> bytes | None:
    named = point.vector
    return np.asarray(named[VECTOR_NAME], np.float32).tobytes() if named else None


Answer = Callable[[Asker, Mapping[str, Any]], list[Found]]
ANSWERS: Final[Mapping[str, Answer]] = {
    "dense": lambda asker, asked: asker.single(DENSE, asked),
    "lexical": lambda asker, asked: asker.single(LEXICAL, asked),
    "hybrid": lambda asker, asked: asker.hybrid(asked),
}
