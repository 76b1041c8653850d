"""The embedded parts: pipeline and store speed, memory at rest, cost of importing the package."""

import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from bench_http import free_port, process, wait_for

from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import Chunk, Document, EmbeddedChunk
from gateway.domain.lexical import Lexical
from gateway.domain.search import DenseQuery
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.encoders.fake import FakeEncoder
from gateway.ingest.pipeline import Ingestor
from gateway.vectorstores.edge import EdgeStore

WORDS = [f"word{i}" for i in range(5_000)]
DIM = 512
SPACE = "bench:0"


def documents(count: int) -> Iterator[Document]:
    """Documents of about 160 words: one chunk each at the default of 256 tokens."""
    rng = random.Random(0)  # noqa: S311
    for i in range(count):
        text = " ".join(rng.choices(WORDS, k=160))
        yield Document(id=f"doc-{i}", text=text, title=f"Title {i}")


def ingest_speed(folder: Path) -> dict[str, float]:
    """Median of three ingests into fresh folders, after a small one that warms the process."""
    encoder = FakeEncoder()
    asyncio.run(ingest(encoder, folder / "warm", 1_000))
    runs: list[dict[str, float]] = []
    for number in range(3):
        plain = asyncio.run(ingest(encoder, folder / f"plain-{number}"))
        words = asyncio.run(ingest(encoder, folder / f"words-{number}", lexical=Lexical()))
        runs.append({**plain, "chunks/s with words": words["chunks/s ingested"]})
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


async def ingest(
    encoder: FakeEncoder, folder: Path, count: int = 10_000, *, lexical: Lexical | None = None
) -> dict[str, float]:
    embedder = Embedder(EMBEDDING_GEMMA_300M, encoder)
    store = await EdgeStore.open(folder)
    spec = CollectionSpec("bench", "embeddinggemma-300m", embedder.space, DIM, lexical=lexical)
    prepared = list(documents(count))
    started = time.perf_counter()
    report = await Ingestor(embedder, store).ingest(spec, prepared)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    await Ingestor(embedder, store).ingest(spec, prepared)
    again = time.perf_counter() - started
    chunks = (await store.describe("bench")).chunks
    await store.aclose()
    if report.totals.chunks != chunks:
        raise RuntimeError(f"{report.totals.chunks} chunks reported, {chunks} stored")
    return {"chunks/s ingested": chunks / seconds, "unchanged documents/s": count / again}


async def search(folder: Path, count: int = 100_000) -> dict[str, float]:
    rng = np.random.default_rng(0)
    store = await EdgeStore.open(folder)
    await store.ensure(CollectionSpec("big", "embeddinggemma-300m", SPACE, DIM))
    started = time.perf_counter()
    for start in range(0, count, 1_000):
        rows = rng.normal(size=(1_000, DIM)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        chunks = [_chunk(start + i, row) for i, row in enumerate(rows)]
        await store.upsert("big", chunks)
    upserted = count / (time.perf_counter() - started)
    found: list[float] = []
    for _ in range(100):
        vector = rng.normal(size=DIM).astype(np.float32)
        vector /= np.linalg.norm(vector)
        began = time.perf_counter()
        await store.query("big", DenseQuery(vector=vector, limit=10, space=SPACE))
        found.append(time.perf_counter() - began)
    await store.aclose()
    return {"points/s upserted": upserted, "search p50 ms": statistics.median(found) * 1000}


def _chunk(i: int, row: np.ndarray[tuple[int], np.dtype[np.float32]]) -> EmbeddedChunk:
    chunk = Chunk(
        document_id=f"d{i}", index=0, text=f"text {i}", start=0, end=6, tokens=4,
        document_chunks=1, content_hash="0",
    )  # fmt: skip
    return EmbeddedChunk(chunk, row, "2026-01-01T00:00:00Z", SPACE)


def idle_memory(folder: Path) -> dict[str, float]:
    """Resident memory of the gateway and its store worker, embedded default, after start."""
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
    with process(*command, GATEWAY_DATA_DIR=str(folder), GATEWAY_LOG__LEVEL="warning") as child:
        wait_for(f"http://127.0.0.1:{port}/readyz")
        time.sleep(1)
        family = [child.pid, *_children(child.pid)]
        return {"idle RSS MB": sum(_rss_mb(pid) for pid in family)}


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in found]


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def import_cost() -> dict[str, float]:
    """Milliseconds of `import gateway` over those of an empty interpreter, median of 9 pairs."""
    extra: list[float] = []
    for _ in range(9):
        empty = _seconds("pass")
        extra.append(_seconds("import gateway") - empty)
    return {"import gateway ms": statistics.median(extra) * 1000}


def _seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started


def main() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = import_cost()
        found |= ingest_speed(folder / "ingest")
        found |= asyncio.run(search(folder / "search"))
        found |= idle_memory(folder / "idle")
    return found


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name}: {value:,.2f}")
