"""Exact search in numpy over one process's memory: the oracle of the contract suite.

It keeps nothing on disk. Every operation is one synchronous step, so concurrent calls never see
half of another one.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from gateway.domain.collections import CollectionInfo, CollectionSpec, StoredForm, require_same
from gateway.domain.documents import EmbeddedChunk, StoredChunk
from gateway.domain.search import DenseQuery, Filter, Hit
from gateway.domain.vectors import Vector
from gateway.errors import CollectionNotFound
from gateway.ports import Health
from gateway.vectorstores.filters import matches, require_filter
from gateway.vectorstores.payload import Payload, to_hit, to_stored
from gateway.vectorstores.points import Points, require_hits, require_query, to_points
from gateway.vectorstores.ranking import SCORE_STEP, settle


@dataclass(slots=True)
class _Point:
    payload: Payload
    vector: Vector


@dataclass(slots=True)
class _Collection:
    spec: CollectionSpec
    points: dict[UUID, _Point] = field(default_factory=dict[UUID, _Point])

    def put(self, points: Points) -> None:
        rows = zip(points.ids, points.vectors, points.payloads, strict=True)
        for point_id, vector, payload in rows:
            self.points[point_id] = _Point(payload, vector.copy())

    def matching(self, where: Filter | None) -> list[UUID]:
        if where is None:
            return list(self.points)
        checked = require_filter(where)
        return [key for key, point in self.points.items() if matches(checked, point.payload)]

    def nearest(self, query: DenseQuery) -> list[Hit]:
        ids = self.matching(query.where)
        if not ids:
            return []
        rows = np.stack([self.points[key].vector for key in ids])
        scores = rows @ query.vector
        end = min(query.offset + query.limit, len(ids))
        cut = np.partition(scores, len(ids) - end)[len(ids) - end] - 4 * SCORE_STEP
        near = np.flatnonzero(scores >= cut)
        # matmul sums by blocks, so equal rows may differ in the last bit: sum the few again by row
        exact = (rows[near].astype(np.float64) * query.vector).sum(axis=1)
        pairs = zip(near.tolist(), exact.tolist(), strict=True)
        found = [to_hit(ids[i], self.points[ids[i]].payload, score) for i, score in pairs]
        return settle(found, query.score_threshold)[query.offset : end]


class MemoryStore:
    """A `gateway.ports.VectorStore` without disk or server."""

    def __init__(self) -> None:
        self._collections: dict[str, _Collection] = {}

    async def ensure(self, spec: CollectionSpec) -> CollectionSpec:
        known = self._collections.get(spec.name)
        if known is not None:
            return require_same(known.spec, spec)
        self._collections[spec.name] = _Collection(spec)
        return spec

    async def spec(self, name: str) -> CollectionSpec:
        return self._named(name).spec

    async def describe(self, name: str) -> CollectionInfo:
        found = self._named(name)
        return CollectionInfo(found.spec, len(found.points))

    async def list_collections(self) -> list[CollectionInfo]:
        return [await self.describe(name) for name in sorted(self._collections)]

    async def inspect(self, name: str) -> StoredForm:
        return StoredForm("dot", self._named(name).spec.size)

    async def mend_indexes(self, name: str) -> list[str]:
        self._named(name)
        return []

    async def drop(self, name: str) -> None:
        self._named(name)
        del self._collections[name]

    async def upsert(self, name: str, chunks: Sequence[EmbeddedChunk]) -> None:
        found = self._named(name)
        found.put(to_points(found.spec, chunks))

    async def delete(self, name: str, where: Filter) -> None:
        found = self._named(name)
        for point_id in found.matching(where):
            del found.points[point_id]

    async def get(
        self, name: str, ids: Sequence[UUID], *, with_vectors: bool = False
    ) -> list[StoredChunk]:
        found = self._named(name)
        return [_stored(found, key, with_vectors) for key in ids if key in found.points]

    async def scroll(
        self, name: str, where: Filter | None = None, *, with_vectors: bool = False
    ) -> AsyncIterator[StoredChunk]:
        found = self._named(name)
        for point_id in sorted(found.matching(where), key=lambda key: key.int):
            if point_id in found.points:
                yield _stored(found, point_id, with_vectors)

    async def count(self, name: str, where: Filter | None = None) -> int:
        return len(self._named(name).matching(where))

    async def query(self, name: str, query: DenseQuery) -> list[Hit]:
        found = self._named(name)
        return require_hits(name, query.space, found.nearest(require_query(found.spec, query)))

    async def health(self) -> Health:
        return Health("memory", ok=True, detail=f"{len(self._collections)} collections in memory")

    async def aclose(self) -> None:
        """Keep what is held: a closed memory store may still be read."""

    def _named(self, name: str) -> _Collection:
        try:
            return self._collections[name]
        except KeyError:
            raise CollectionNotFound(name) from None


def _stored(found: _Collection, point_id: UUID, with_vectors: bool) -> StoredChunk:
    point = found.points[point_id]
    return to_stored(point_id, point.payload, point.vector if with_vectors else None)
