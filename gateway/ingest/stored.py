"""What a collection already holds of a document, asked by derived ids and in bounded pages."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from gateway.domain.documents import Chunk, StoredChunk, chunk_id
from gateway.domain.search import And, Eq, Range
from gateway.ports import VectorStore

PAGE: Final = 256


class StoredDocuments:
    """Looks at one collection."""

    def __init__(self, store: VectorStore, collection: str, space: str) -> None:
        self._store = store
        self._collection = collection
        self._space = space

    async def first_chunks(self, document_ids: Iterable[str]) -> dict[str, Chunk]:
        """Return chunk 0 of each document that has one of the collection's space, by document id."""
        return {
            stored.chunk.document_id: stored.chunk
            async for stored in self._chunks((name, 0) for name in document_ids)
            if self._belongs(stored)
        }

    async def complete(self, firsts: Mapping[str, Chunk]) -> set[str]:
        """Return the documents that are stored whole: all chunks of one content and space, none beyond.

        `firsts` are chunks 0 with the content wanted. What a crash left half-way is not complete.
        """
        missing = {name: first.document_chunks - 1 for name, first in firsts.items()}
        spoiled: set[str] = set()
        places = (
            (name, index)
            for name, first in firsts.items()
            for index in range(1, first.document_chunks + 1)
        )
        async for stored in self._chunks(places):
            chunk = stored.chunk
            first = firsts[chunk.document_id]
            if chunk.index == first.document_chunks:
                spoiled.add(chunk.document_id)
            elif chunk.content_hash == first.content_hash and self._belongs(stored):
                missing[chunk.document_id] -= 1
        return {name for name, count in missing.items() if count == 0} - spoiled

    async def with_chunk(self, places: Iterable[tuple[str, int]]) -> set[str]:
        """Return the documents that have a chunk at the place given."""
        return {stored.chunk.document_id async for stored in self._chunks(places)}

    async def cut(self, document_id: str, count: int) -> None:
        """Delete the chunks of a document from place `count` on."""
        where = And((Eq("document_id", document_id), Range("chunk_index", gte=count)))
        await self._store.delete(self._collection, where)

    def _belongs(self, stored: StoredChunk) -> bool:
        """Tell whether a chunk may stay: one of another space is as good as missing."""
        return stored.space in ("", self._space)

    async def _chunks(self, places: Iterable[tuple[str, int]]) -> AsyncIterator[StoredChunk]:
        for page in _pages(places):
            ids = [chunk_id(self._collection, name, index) for name, index in page]
            for stored in await self._store.get(self._collection, ids):
                yield stored


def _pages(places: Iterable[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    iterator = iter(places)
    while page := list(islice(iterator, PAGE)):
        yield page
