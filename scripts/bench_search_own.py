"""The gateway's own share of a search: all but encoder and store, which answer at once here.

    python scripts/bench_search_own.py 2> /dev/null

Vectors and hits are prepared, so what is timed is reading the request, checks, stages and JSON. The
ways to search alternate in every round, and medians are reported. `own_share` is for other programs.
"""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import numpy as np

from gateway.api.app import create_app
from gateway.bootstrap import Runtime, join
from gateway.domain.documents import Chunk, EmbeddedChunk, StoredChunk
from gateway.domain.lexical import Lexical
from gateway.domain.mmr import mmr
from gateway.domain.search import Hit, HybridQuery, StoreQuery
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.texts import Input
from gateway.encoders.fake import FakeEncoder
from gateway.observability.logs import configure_logs
from gateway.observability.metrics import Metrics
from gateway.ports import Encoding, Lane
from gateway.settings import Settings, load_settings
from gateway.vectorstores.memory import MemoryStore

SIZE: Final = 768
STORED: Final = 300
WAYS: Final[dict[str, dict[str, Any]]] = {
    "dense": {"mode": "dense"},
    "hybrid": {},
    "hybrid, explained": {"explain": True},
    "hybrid by document": {"group_by": "document"},
    "hybrid, mmr over 100": {"mmr": 0.5},
    "hybrid, neighbours": {"neighbours": 1},
}
"""Each is a search that asks for ten hits."""


class PreparedEncoder(FakeEncoder):
    """Gives texts that it had before the vectors that they had then."""

    def __init__(self) -> None:
        super().__init__(size=SIZE)
        self._had: dict[tuple[str, ...], Encoding] = {}

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        key = tuple(texts)
        if key not in self._had:
            self._had[key] = await super().encode(texts, lane=lane)
        return self._had[key]


class PreparedStore(MemoryStore):
    """Answers a query that was asked before with the hits it had then."""

    def __init__(self) -> None:
        super().__init__()
        self._hits: dict[tuple[object, ...], list[Hit]] = {}
        self._chunks: dict[tuple[int, bool], list[StoredChunk]] = {}

    async def query(self, name: str, query: StoreQuery) -> list[Hit]:
        dense = query.dense if isinstance(query, HybridQuery) else query
        key = (type(query), query.limit, dense.with_vectors)
        if key not in self._hits:
            self._hits[key] = await super().query(name, query)
        return self._hits[key]

    async def get(
        self, name: str, ids: Sequence[UUID], *, with_vectors: bool = False
    ) -> list[StoredChunk]:
        key = (len(ids), with_vectors)
        if key not in self._chunks:
            self._chunks[key] = await super().get(name, ids, with_vectors=with_vectors)
        return self._chunks[key]


async def fill(runtime: Runtime) -> None:
    """Store chunks of 30 documents under the name `bench`."""
    await runtime.collections.create("bench", size=SIZE, lexical=Lexical())
    texts = [f"red planet number {i} " * 20 for i in range(STORED)]
    inputs = [Input(text) for text in texts]
    made = await runtime.embedder.embed("document", inputs, size=SIZE)
    chunks = [
        EmbeddedChunk(
            Chunk(f"d{i % 30}", i // 30, text, 0, len(text), 90, 10, f"d{i % 30}"),
            row,
            "2026-01-01T00:00:00Z",
            runtime.embedder.space,
        )
        for i, (text, row) in enumerate(zip(texts, made.vectors, strict=True))
    ]
    await runtime.store.upsert("bench", chunks)


def runtime_of(settings: Settings) -> Runtime:
    embedder = Embedder(EMBEDDING_GEMMA_300M, PreparedEncoder())
    return join(settings, embedder, PreparedStore(), metrics=Metrics())


async def post(app: Any, body: bytes) -> None:
    """Send one search to an application, without a network between."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": "/api/v1/collections/bench/search", "raw_path": b"",
        "root_path": "", "query_string": b"", "server": ("test", 80), "client": ("test", 1),
        "headers": [(b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode())],
        "state": {},
    }  # fmt: skip
    sent: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]
    told: list[int] = []

    async def receive() -> Any:
        return sent.pop() if sent else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told.append(message["status"])

    await app(scope, receive, send)
    if told != [200]:
        raise RuntimeError(f"a search answered {told}")


async def own_share(rounds: int = 7, calls: int = 60) -> dict[str, float]:
    """Median seconds of the gateway's own share by way to search, JSON in and out included."""
    settings = load_settings({"store": "memory", "encoder": "fake"}, environ={})
    runtime = runtime_of(settings)
    await fill(runtime)

    @asynccontextmanager
    async def opened(_: Settings) -> AsyncGenerator[Runtime, None]:
        yield runtime

    app = create_app(settings, open_runtime=opened)
    bodies = {
        name: json.dumps({"query": "which planet is red?", **how}).encode()
        for name, how in WAYS.items()
    }
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    async with app.lifespan():
        for body in bodies.values():
            await post(app, body)
        for _ in range(rounds * calls):
            for name, body in bodies.items():
                started = time.perf_counter()
                await post(app, body)
                found[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def mmr_seconds(candidates: int = 100, calls: int = 50) -> float:
    """Median seconds of MMR that orders all of its candidates, of size 768."""
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(candidates, SIZE)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    relevance = sorted(rng.random(candidates), reverse=True)
    found: list[float] = []
    for _ in range(calls):
        started = time.perf_counter()
        mmr(relevance, rows, 0.5, candidates)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def main() -> None:
    configure_logs("info", "json")  # to standard error, as `gateway serve` does
    for name, seconds in asyncio.run(own_share()).items():
        print(f"{name:24} {seconds * 1000:8.3f} ms")
    print(f"{'mmr alone, 100 of 100':24} {mmr_seconds() * 1000:8.3f} ms")


if __name__ == "__main__":
    main()
