"""Encoders and stores for ingest tests: real ones that count, fail on demand or keep nothing."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import numpy as np

from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import Chunk, EmbeddedChunk, StoredChunk
from gateway.domain.search import Filter
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.encoders.fake import FakeEncoder
from gateway.errors import GatewayError
from gateway.ports import Encoding, Lane
from gateway.vectorstores.memory import MemoryStore

COLLECTION = "docs"


class CountingEncoder(FakeEncoder):
    """Counts encoded texts, and how many calls were under way at once.

    `broken` words give rows of zeros; a text with a word of `refused` gives none, for the reason
    given; with a word of `down` the whole call raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.active = 0
        self.most_active = 0
        self.broken: set[str] = set()
        self.refused: dict[str, GatewayError] = {}
        self.down: dict[str, GatewayError] = {}

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        self.active += 1
        self.most_active = max(self.active, self.most_active)
        try:
            await asyncio.sleep(0)
            for word, error in self.down.items():
                if any(word in text for text in texts):
                    raise error
            self.texts.extend(texts)
            encoding = await super().encode(texts, lane=lane)
        finally:
            self.active -= 1
        for row, text in enumerate(texts):
            if any(word in text for word in self.broken):
                encoding.rows[row] = 0
        refused = {
            row: error
            for row, text in enumerate(texts)
            for word, error in self.refused.items()
            if word in text
        }
        encoding.rows[list(refused)] = np.nan
        refused |= encoding.refused
        counts = [0 if row in refused else n for row, n in enumerate(encoding.counts or ())]
        return Encoding(encoding.rows, sum(counts), refused, counts)


class FailingStore(MemoryStore):
    """A memory store whose upserts raise `error` after `after` of them, and that counts calls."""

    def __init__(self) -> None:
        super().__init__()
        self.after: int | None = None
        self.error: GatewayError | None = None
        self.upserts = 0
        self.deletes = 0

    async def upsert(self, name: str, chunks: Sequence[EmbeddedChunk]) -> None:
        if self.after is not None and self.upserts >= self.after and self.error is not None:
            raise self.error
        self.upserts += 1
        await super().upsert(name, chunks)

    async def delete(self, name: str, where: Filter) -> None:
        self.deletes += 1
        await super().delete(name, where)


class SlowHeadStore(MemoryStore):
    """Takes its time with batches that hold a first chunk, and notes what it acknowledges."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged: list[Chunk] = []

    async def upsert(self, name: str, chunks: Sequence[EmbeddedChunk]) -> None:
        if any(item.chunk.index == 0 for item in chunks):
            await asyncio.sleep(0.02)
        await super().upsert(name, chunks)
        self.acknowledged.extend(item.chunk for item in chunks)


class DiscardingStore(MemoryStore):
    """Acknowledges chunks and keeps nothing but their number: for measuring what ingest itself holds."""

    def __init__(self) -> None:
        super().__init__()
        self.chunks = 0

    async def upsert(self, name: str, chunks: Sequence[EmbeddedChunk]) -> None:
        self.chunks += len(chunks)

    async def get(
        self, name: str, ids: Sequence[UUID], *, with_vectors: bool = False
    ) -> list[StoredChunk]:
        return []


class ConstantEncoder(FakeEncoder):
    """One vector for every text, and bytes for tokens: next to no work."""

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        await asyncio.sleep(0)
        return Encoding(np.ones((len(texts), self.info.size), np.float32), len(texts))


def make_embedder(encoder: FakeEncoder) -> Embedder:
    return Embedder(EMBEDDING_GEMMA_300M, encoder)


def make_spec(embedder: Embedder) -> CollectionSpec:
    return CollectionSpec(COLLECTION, embedder.profile.name, embedder.space, 128)
