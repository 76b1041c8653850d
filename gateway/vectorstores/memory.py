"""The store in memory: nothing on disk, nothing to install.

Every operation is one synchronous step, so concurrent calls never see half of another one.
"""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from gateway.domain.collections import (
    CollectionInfo,
    CollectionSpec,
    StoredForm,
    amended,
    require_same,
)
from gateway.domain.documents import EmbeddedChunk, StoredChunk
from gateway.domain.lexical import Lexical
from gateway.domain.search import (
    Filter,
    Hit,
    StoreQuery,
)
from gateway.errors import CollectionNotFound
from gateway.ports import Health
from gateway.vectorstores.memory_collection import MemoryCollection, words_of
from gateway.vectorstores.points import require_hits, require_query, to_points


class MemoryStore:
    """A `gateway.ports.VectorStore` without disk or server."""

    def __init__(self) -> None:
        self._collections: dict[str, MemoryCollection] = {}

    async def ensure(self, spec: CollectionSpec) -> CollectionSpec:
        known = self._collections.get(spec.name)
        if known is not None:
            return require_same(known.spec, spec)
        self._collections[spec.name] = MemoryCollection(spec)
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

    async def amend(self, spec: CollectionSpec) -> CollectionSpec:
        found = self._named(spec.name)
        found.spec = amended(found.spec, spec)
        return found.spec

    async def optimize(self, name: str) -> bool:
        self._named(name)
        return False

    async def drop(self, name: str) -> None:
        self._named(name)
        del self._collections[name]

    async def upsert(self, name: str, chunks: Sequence[EmbeddedChunk]) -> None:
        found = self._named(name)
        found.put(to_points(found.spec, chunks))

    async def delete(self, name: str, where: Filter) -> None:
        found = self._named(name)
        for point_id in found.matching(where):
            found.remove(point_id)

    async def get(
        self, name: str, ids: Sequence[UUID], *, with_vectors: bool = False
    ) -> list[StoredChunk]:
        found = self._named(name)
        return [found.stored(key, with_vectors=with_vectors) for key in ids if key in found.points]

    async def scroll(
        self, name: str, where: Filter | None = None, *, with_vectors: bool = False
    ) -> AsyncIterator[StoredChunk]:
        found = self._named(name)
        for point_id in sorted(found.matching(where), key=lambda key: key.int):
            if point_id in found.points:
                yield found.stored(point_id, with_vectors=with_vectors)

    async def count(self, name: str, where: Filter | None = None) -> int:
        return len(self._named(name).matching(where))

    async def query(self, name: str, query: StoreQuery) -> list[Hit]:
        found = self._named(name)
        return require_hits(name, query.space, found.answer(require_query(found.spec, query)))

    def has_words(self, lexical: Lexical, text: str) -> bool:
        return bool(words_of(lexical, text))

    async def health(self) -> Health:
        return Health("memory", ok=True, detail=f"{len(self._collections)} collections in memory")

    async def aclose(self) -> None:
        """Keep what is held: a closed memory store may still be read."""

    def _named(self, name: str) -> MemoryCollection:
        try:
            return self._collections[name]
        except KeyError:
            raise CollectionNotFound(name) from None
