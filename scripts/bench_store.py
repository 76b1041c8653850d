"""Measure one vector store: points a second, then search latency and recall.

    python scripts/bench_store.py edge --points 100000 --size 512
    python scripts/bench_store.py http://127.0.0.1:6333 --points 100000

Vectors are a mixture of 300 directions with noise, so neighbours exist; `--index` lets the embedded
store build its index first. Everything is written below a temporary folder.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gateway.domain.collections import CollectionSpec, FieldType
from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.domain.search import DenseQuery, Eq, Filter, In
from gateway.ports import VectorStore
from gateway.vectorstores.edge import EdgeStore
from gateway.vectorstores.memory import MemoryStore
from gateway.vectorstores.qdrant import QdrantStore

NAME = "bench"
SPACE = "bench:0"
BATCH = 256
WRITERS = 4
QUERIES = 100


def vectors(count: int, size: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    centres = np.random.default_rng(0).normal(size=(300, size))
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(300, size=count)] + rng.normal(size=(count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def batches(count: int, size: int) -> Iterator[list[EmbeddedChunk]]:
    text = "Searching is older than libraries, and so is losing what was found. " * 10
    for start in range(0, count, BATCH):
        rows = vectors(min(BATCH, count - start), size, start + 1)
        yield [
            EmbeddedChunk(
                Chunk(f"d{start + i}", 0, text, 0, len(text), 200, 1, "h", "A title", (), metadata),
                row,
                "2026-01-31T12:00:00.000000Z",
                SPACE,
            )
            for i, row in enumerate(rows)
            for metadata in ({"tenant": f"t{(start + i) % 100}"},)
        ]


async def opened(target: str, folder: Path) -> VectorStore:
    if target == "memory":
        return MemoryStore()
    if target == "edge":
        return await EdgeStore.open(folder, timeout_seconds=600)
    return QdrantStore.connect(target)


async def ingest(store: VectorStore, work: list[list[EmbeddedChunk]]) -> float:
    started = time.perf_counter()
    queue = iter(work)

    async def write() -> None:
        for batch in queue:
            await store.upsert(NAME, batch)

    await asyncio.gather(*(write() for _ in range(WRITERS)))
    return time.perf_counter() - started


async def search(store: VectorStore, size: int, where: Filter | None) -> tuple[list[float], float]:
    """Return latencies in milliseconds, and recall at 10 against exact search."""
    times: list[float] = []
    shared = asked = 0
    for row in vectors(QUERIES, size, 10**9):
        started = time.perf_counter()
        hits = await store.query(NAME, DenseQuery(row, 10, SPACE, where=where))
        times.append((time.perf_counter() - started) * 1e3)
        exact = await store.query(NAME, DenseQuery(row, 10, SPACE, where=where, exact=True))
        shared += len({hit.id for hit in hits} & {hit.id for hit in exact})
        asked += len(exact)
    return times, shared / max(asked, 1)


async def indexed(store: VectorStore) -> None:
    """Stay quiet until the embedded store has built its index."""
    assert isinstance(store, EdgeStore)
    for wanted in (True, False):
        while store.indexing is not wanted:  # noqa: ASYNC110  another process changes it
            await asyncio.sleep(0.1)


async def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("target", help="memory, edge, or the URL of a Qdrant server")
    arguments.add_argument("--points", type=int, default=20_000)
    arguments.add_argument("--size", type=int, default=512)
    arguments.add_argument("--index", action="store_true", help="edge: wait for the index first")
    given = arguments.parse_args()
    spec = CollectionSpec(NAME, "bench", SPACE, given.size, {"tenant": FieldType.KEYWORD})
    with tempfile.TemporaryDirectory() as folder:
        store = await opened(given.target, Path(folder))
        await store.ensure(spec)
        work = list(batches(given.points, given.size))
        seconds = await ingest(store, work)
        print(f"ingest {given.points} x {given.size}: {given.points / seconds:,.0f} points/s")
        if given.index:
            started = time.perf_counter()
            await indexed(store)
            print(f"index: {time.perf_counter() - started:.1f} s, the quiet before it included")
        for share in (None, 1, 10, 30, 90):
            tenants = tuple(f"t{number}" for number in range(share or 0))
            where = None if share is None else In("metadata.tenant", tenants)
            times, recall = await search(store, given.size, where)
            p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[-1]
            label = "unfiltered" if share is None else f"{share} % of the points"
            print(f"search, {label}: p50 {p50:.2f} ms, p95 {p95:.2f} ms, recall {recall:.4f}")
        await store.delete(NAME, Eq("document_id", "d0"))
        await store.drop(NAME)
        await store.aclose()


if __name__ == "__main__":
    asyncio.run(main())
