"""One collection of the store in memory: exact search in numpy, the oracle of the contract suite."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np

from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import StoredChunk
from gateway.domain.lexical import Lexical
from gateway.domain.order import SCORE_STEP, settle
from gateway.domain.search import (
    DenseQuery,
    Filter,
    Hit,
    HybridQuery,
    LexicalQuery,
    Pass,
    StoreQuery,
)
from gateway.domain.vectors import Vector, shorten
from gateway.vectorstores.filters import matches, require_filter
from gateway.vectorstores.payload import Payload, to_hit, to_stored
from gateway.vectorstores.points import Points
from gateway.vectorstores.ranking import (
    COARSE,
    DENSE,
    LEXICAL,
    FirstPass,
    fused,
    halves_of,
)


@dataclass(slots=True)
class _Point:
    payload: Payload
    vector: Vector
    words: tuple[int, ...] = ()


@dataclass(slots=True)
class MemoryCollection:
    """Points by id, and for each word the weight it has in each point that contains it."""

    spec: CollectionSpec
    points: dict[UUID, _Point] = field(default_factory=dict[UUID, _Point])
    words: dict[int, dict[UUID, float]] = field(default_factory=dict[int, dict[UUID, float]])

    def put(self, points: Points) -> None:
        rows = zip(points.ids, points.vectors, points.payloads, strict=True)
        for point_id, vector, payload in rows:
            self.remove(point_id)
            self.points[point_id] = _Point(payload, vector.copy(), self._index(point_id, payload))

    def remove(self, point_id: UUID) -> None:
        if (point := self.points.pop(point_id, None)) is None:
            return
        for word in point.words:
            del self.words[word][point_id]

    def stored(self, point_id: UUID, *, with_vectors: bool) -> StoredChunk:
        point = self.points[point_id]
        return to_stored(point_id, point.payload, point.vector if with_vectors else None)

    def matching(self, where: Filter | None) -> list[UUID]:
        if where is None:
            return list(self.points)
        checked = require_filter(where)
        return [key for key, point in self.points.items() if matches(checked, point.payload)]

    def answer(self, query: StoreQuery) -> list[Hit]:
        if isinstance(query, HybridQuery):
            return self._fused(query)
        hits = self._nearest(query) if isinstance(query, DenseQuery) else self._sharing(query)
        hits = hits[query.offset : query.offset + query.limit]
        return [self._with_vector(hit) for hit in hits] if query.with_vectors else hits

    def _nearest(self, query: DenseQuery) -> list[Hit]:
        ids = self.matching(query.where)
        left: FirstPass | None = None
        if query.coarse is not None:
            left = self._coarse(ids, query, query.coarse)
            ids = left.keys
        if not ids:
            return []
        rows = np.stack([self.points[key].vector for key in ids])
        scores = rows @ query.vector
        end = min(query.offset + query.limit, len(ids))
        cut = np.partition(scores, len(ids) - end)[len(ids) - end] - 4 * SCORE_STEP
        near = np.flatnonzero(scores >= cut)
        # matmul sums by blocks, so equal rows may differ in the last bit: sum the few again by row
        exact = (rows[near].astype(np.float64) * query.vector).sum(axis=1)
        found = [self._hit(ids[i], s) for i, s in zip(near.tolist(), exact.tolist(), strict=True)]
        if query.explain and left is not None:
            found = [replace(hit, stages=(left.told(hit.id),)) for hit in found]
        return settle(found, query.score_threshold)

    def _coarse(self, ids: Sequence[UUID], query: DenseQuery, keep: int) -> FirstPass:
        """Return the candidates that a first pass over the short vectors leaves."""
        started, size = time.perf_counter(), self.spec.coarse
        left = FirstPass((), ())
        if ids and size is not None:
            rows = shorten(np.stack([self.points[key].vector for key in ids]), size)
            scores: list[float] = (rows @ shorten(query.vector[np.newaxis, :], size)[0]).tolist()
            best: list[int] = np.argsort(-np.array(scores), kind="stable").tolist()
            keep = max(keep, query.offset + query.limit)
            best = best[:keep]
            left = FirstPass([ids[i] for i in best], [scores[i] for i in best])
        if query.explain:
            query.passes.append(Pass(COARSE, 0, len(left), time.perf_counter() - started))
        return left

    def _sharing(self, query: LexicalQuery) -> list[Hit]:
        allowed = None if query.where is None else set(self.matching(query.where))
        worded = sum(1 for point in self.points.values() if point.words)
        scores: dict[UUID, float] = {}
        for word in _query_words(self.spec, query.text):
            having = self.words.get(word, {})
            rarity = _idf(worded, len(having))
            for key, weight in having.items():
                if allowed is None or key in allowed:
                    scores[key] = scores.get(key, 0.0) + weight * rarity
        found = [self._hit(key, score) for key, score in scores.items()]
        return settle(found, query.score_threshold)

    def _fused(self, query: HybridQuery) -> list[Hit]:
        times = [time.perf_counter()]
        halves: dict[str, list[Hit]] = {}
        nearest = query.nearest
        for name, half in ((DENSE, nearest), (LEXICAL, query.lexical)):
            halves[name] = self.answer(half)
            times.append(time.perf_counter())
        if query.explain:
            sizes = [len(half) for half in halves.values()]
            query.passes.extend(halves_of(nearest.passes, sizes, np.diff(times).tolist()))
        return fused(halves, query)

    def _index(self, point_id: UUID, payload: Payload) -> tuple[int, ...]:
        words = _document_words(self.spec, payload)
        for word, weight in words.items():
            self.words.setdefault(word, {})[point_id] = weight
        return tuple(words)

    def _hit(self, point_id: UUID, score: float) -> Hit:
        return to_hit(point_id, self.points[point_id].payload, score)

    def _with_vector(self, hit: Hit) -> Hit:
        return replace(hit, vector=self.points[hit.id].vector)


def _document_words(spec: CollectionSpec, payload: Payload) -> dict[int, float]:
    if spec.lexical is None:
        return {}
    from gateway.vectorstores.bm25 import document_vector, lexical_text  # noqa: PLC0415

    return dict(zip(*document_vector(spec.lexical, lexical_text(payload)), strict=True))


def _query_words(spec: CollectionSpec, text: str) -> list[int]:
    return [] if spec.lexical is None else words_of(spec.lexical, text)


def words_of(lexical: Lexical, text: str) -> list[int]:
    from gateway.vectorstores.bm25 import query_vector  # noqa: PLC0415

    return query_vector(lexical, text)[0]


def _idf(chunks: int, having: int) -> float:
    from gateway.vectorstores.bm25 import idf  # noqa: PLC0415

    return idf(chunks, having)
