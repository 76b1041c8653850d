"""Stores to be judged, and things to put into them."""

import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import AsyncQdrantClient

from gateway.domain.collections import CollectionSpec, FieldType
from gateway.domain.documents import NO_METADATA, Chunk, EmbeddedChunk, StoredChunk
from gateway.domain.search import And, DenseQuery, Eq, Exists, Filter, In, Not, Or, Range
from gateway.domain.vectors import Vector
from gateway.ports import VectorStore
from gateway.vectorstores.edge import EdgeStore
from gateway.vectorstores.memory import MemoryStore
from gateway.vectorstores.qdrant import QdrantStore

SIZE = 16
FIELDS = {
    "year": FieldType.INTEGER,
    "tag": FieldType.KEYWORD,
    "weight": FieldType.FLOAT,
    "open": FieldType.BOOL,
    "at": FieldType.DATETIME,
    "deep.year": FieldType.INTEGER,
}
SPEC = CollectionSpec("docs", "tiny", "space-1", SIZE, FIELDS)
LOCAL = ("memory", "qdrant", "edge")


@asynccontextmanager
async def open_store(kind: str, folder: Path) -> AsyncGenerator[VectorStore, None]:
    """Open an empty store of one kind: `memory`, `qdrant` (client's memory), `edge`, or a URL."""
    store = await _made(kind, folder)
    try:
        for info in await store.list_collections():
            await store.drop(info.spec.name)
        yield store
    finally:
        await store.aclose()


async def _made(kind: str, folder: Path) -> VectorStore:
    if kind == "memory":
        return MemoryStore()
    if kind == "edge":
        return await EdgeStore.open(folder / "store", flush_seconds=0.2)
    if kind == "qdrant":
        return QdrantStore.over(AsyncQdrantClient(":memory:"))
    rest, grpc = kind.split("|")
    return QdrantStore.connect(rest, grpc_port=int(grpc))


def unit(seed: int, size: int = SIZE) -> Vector:
    """One random direction."""
    row = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    return (row / np.linalg.norm(row)).astype(np.float32)


def made(
    document: str = "d",
    index: int = 0,
    *,
    vector: Vector | None = None,
    metadata: Mapping[str, Any] = NO_METADATA,
    space: str = SPEC.space,
    **changes: Any,
) -> EmbeddedChunk:
    """One chunk, its vector derived from its place unless given."""
    values: dict[str, Any] = {
        "text": f"text {index} of {document}",
        "start": index * 10,
        "end": index * 10 + 9,
        "tokens": 7,
        "document_chunks": 4,
        "content_hash": f"hash-{document}",
        "source": "test",
        **changes,
    }
    row = unit(hash_of(document, index)) if vector is None else vector
    chunk = Chunk(document_id=document, index=index, metadata=metadata, **values)
    return EmbeddedChunk(chunk, row, "2026-01-31T12:00:00.000000Z", space)


def asking(vector: Vector, limit: int, **how: Any) -> DenseQuery:
    """One query in the space of `SPEC`."""
    return DenseQuery(vector, limit, SPEC.space, **how)


def hash_of(document: str, index: int) -> int:
    return sum(map(ord, document)) * 1_000 + index


async def drained(store: VectorStore, name: str, where: Filter | None = None) -> list[StoredChunk]:
    return [stored async for stored in store.scroll(name, where)]


TIMES = (
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "2024-01-01 00:00:00",
    "2024-01-01T02:00:00+02:00",
    "2024-06-01T12:30:00.123456Z",
    "1999-12-31T23:59:59.999Z",
)
LOOSE: tuple[Any, ...] = (
    *("a", "b", "1", "true", "", "hello", "2024-13-01"),
    *(1, 0, -1, 2, 1.0, 2.5, 2**53, 2**60, 1e300, True, False, None),
    *({}, {"x": 1}, [], [None], ["a", "b"], [1, 2.5], [[1]], [True, "1"]),
    *TIMES,
)
WANTED = (
    *("a", "b", "ä", "1", "true", "", "d1", "2024-01-01"),
    *(1, 0, 2, 3, 1.0, 2.5, -1.5, True, False, 2**53, 2**60, 2024, 1e300),
)
PATHS = (
    *("document_id", "chunk_index", "title", "ingested_at", "source", "content_hash"),
    *(f"metadata.{key}" for key in (*FIELDS, "free", "my key", "clé", "deep.free", "none", "deep")),
)


def random_metadata(rng: random.Random) -> dict[str, Any]:
    """Declared fields hold their type, alone, in a list, null or not at all; others anything."""
    found: dict[str, Any] = {}
    pools: dict[str, Sequence[Any]] = {
        "year": (-5, -1, 0, 1, 2, 3, 2024, 2**60),
        "tag": ("a", "b", "ä", "1", "true", ""),
        "weight": (0, 1, 2.5, -1.5, 1.0, 1e300),
        "open": (True, False),
        "at": TIMES,
        "free": LOOSE,
        "my key": LOOSE,
        "clé": ("a", 1),
    }
    for key, pool in pools.items():
        dice = rng.random()
        if dice < 0.5:
            found[key] = rng.choice(pool)
        elif dice < 0.7:
            found[key] = rng.choices(pool, k=rng.randint(0, 3))
        elif dice < 0.75:
            found[key] = None
    if rng.random() < 0.5:
        found["deep"] = {"year": rng.choice((1, 2, 3)), "free": rng.choice(LOOSE)}
    return found


def random_filter(rng: random.Random, depth: int = 3) -> Filter:
    dice = rng.random()
    if depth and dice < 0.35:
        parts = tuple(random_filter(rng, depth - 1) for _ in range(rng.randint(0, 3)))
        return And(parts) if rng.random() < 0.5 else Or(parts)
    if depth and dice < 0.5:
        return Not(random_filter(rng, depth - 1))
    path = rng.choice(PATHS)
    dice = rng.random()
    if dice < 0.35:
        return Eq(path, rng.choice(WANTED))
    if dice < 0.6:
        return In(path, tuple(rng.choices(WANTED, k=rng.randint(0, 4))))
    if dice < 0.7:
        return Exists(path)
    pool: Sequence[Any] = TIMES if rng.random() < 0.5 else (-1, 0, 0.5, 1, 2, 2.5, 3, 2024, 1e300)
    sides = rng.sample(("gt", "gte", "lt", "lte"), rng.randint(1, 2))
    return Range(path, **{side: rng.choice(pool) for side in sides})
