"""A gateway opened as its users open it, used as they use it, and every vector of it looked at.

A fault is let through when a stored point or the score of a hit is not what the reference says. It is
caught when it was refused with the reason, or did no harm at all.
"""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from gateway.bootstrap import Runtime, join, open_runtime
from gateway.domain.documents import Document
from gateway.embedding.embedder import Embedder
from gateway.errors import CollectionMismatch, GatewayError
from gateway.events import discard
from gateway.observability.metrics import Metrics
from gateway.ports import VectorStore
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.query import Mode
from gateway.settings import Settings, load_settings
from gateway.wiring.consistency import require_consistent
from gateway.wiring.encoders import open_encoder
from tests.silent_faults.reference import LONG, SPACED, Reference, cosines
from tests.support.tiny_corpus import ENGLISH, RUSSIAN

NAME: Final = "news"
LEAST_COSINE: Final = 0.9999
SCORE_TOLERANCE: Final = 2e-4
DOCUMENTS: Final = (
    Document("mars", ENGLISH[1]),
    Document("jupiter", ENGLISH[2], title="The largest one"),
    Document("saturn", ENGLISH[3], title="Кольца"),
    Document("moon", RUSSIAN[2]),
    Document("spaced", SPACED),
    Document("long", LONG),
    Document("bread", "Bread\nis baked\nfrom flour."),
)
QUERIES: Final = ("Which planet is red?", "bread  and\nsalt", RUSSIAN[0])
OpenRuntime: TypeAlias = Callable[[Settings], Any]


@dataclass
class Outcome:
    """What came of it: why something was refused, and what was wrong of what was not."""

    refusals: list[str] = field(default_factory=list[str])
    points: int = 0
    hits: int = 0
    wrong: list[str] = field(default_factory=list[str])

    def require_caught(self, told: str) -> None:
        """Nothing wrong was let through, and somebody said why."""
        self.require_nothing_wrong()
        found = " // ".join(self.refusals)
        assert re.search(told, found), f"nobody said {told!r}; refused: {found or 'nothing'}"

    def require_harmless(self, points: int = len(DOCUMENTS)) -> None:
        """Everything is there and right, as if there were no fault."""
        self.require_nothing_wrong()
        assert not self.refusals
        assert self.points >= points
        assert self.hits >= points

    def require_nothing_wrong(self) -> None:
        assert not self.wrong, f"LET THROUGH: {self.wrong[:4]}"


@dataclass(frozen=True)
class Bench:
    """A recorded reference, its profile in a file, and what a gateway over them is set to.

    `least` is the least cosine that passes for right.
    """

    reference: Reference
    settings: dict[str, Any]
    size: int = 256
    least: float = LEAST_COSINE

    def configured(self, **changes: Any) -> Settings:
        base = {"store": "memory", "size": self.size, "ingest": {"chunk_tokens": 512}}
        return load_settings(base | self.settings | changes, environ={})

    async def tried(
        self,
        settings: Settings,
        *,
        documents: Sequence[Document] = DOCUMENTS,
        queries: Sequence[str] = QUERIES,
        opener: OpenRuntime = open_runtime,
        once_open: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Open, ingest, search, close; and judge. `once_open` is called in between."""
        outcome = Outcome()
        try:
            async with opener(settings) as runtime:
                once_open()
                await self.used(runtime, outcome, documents, queries)
        except GatewayError as exc:
            outcome.refusals.append(f"{exc.slug}: {exc}")
        return outcome

    async def used(
        self,
        runtime: Runtime,
        outcome: Outcome,
        documents: Sequence[Document] = DOCUMENTS,
        queries: Sequence[str] = QUERIES,
    ) -> None:
        """Ingest and search with an open gateway."""
        try:
            if documents:
                spec = await runtime.collections.open_or_create(NAME)
                report = await runtime.ingestor.ingest(spec, documents)
                outcome.refusals += [row.reason for row in report.problems]
        except GatewayError as exc:
            outcome.refusals.append(f"{exc.slug}: {exc}")
        await self.judge_points(runtime.store, outcome)
        for text in queries:
            try:
                await self._search(runtime, text, outcome)
            except GatewayError as exc:
                outcome.refusals.append(f"{exc.slug}: {exc}")

    async def judge_points(self, store: VectorStore, outcome: Outcome) -> None:
        """Hold every stored vector against the reference's of the same text and title."""
        for info in await store.list_collections():
            size = info.spec.size
            try:
                found = [one async for one in store.scroll(info.spec.name, with_vectors=True)]
            except CollectionMismatch:
                continue  # what cannot be read cannot be answered
            if not found:
                continue
            rows = np.stack([one.vector for one in found if one.vector is not None])
            right = [
                self.reference.document(one.chunk.text, one.chunk.title, size) for one in found
            ]
            for one, cosine in zip(found, cosines(rows, right), strict=True):
                if not cosine >= self.least:
                    outcome.wrong.append(f"point of {one.chunk.document_id}: cosine {cosine:.5f}")
            outcome.points += len(found)

    async def _search(self, runtime: Runtime, text: str, outcome: Outcome) -> None:
        result = await runtime.retriever.search(
            NAME, text, SearchOptions(mode=Mode.DENSE, limit=100)
        )
        size = result.explanation.size
        query = self.reference.query(text, size)
        tolerance = SCORE_TOLERANCE + (1 - self.least) * 10
        for hit in result.hits:
            right = query @ self.reference.document(hit.chunk.text, hit.chunk.title, size)
            if not abs(hit.score - right) <= tolerance:
                outcome.wrong.append(
                    f"hit {hit.chunk.document_id}: score {hit.score:.4f}, right is {right:.4f}"
                )
        outcome.hits += len(result.hits)


def over(store: VectorStore) -> OpenRuntime:
    """Open a gateway over a store that is there already, and leave that open."""

    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncGenerator[Runtime, None]:
        async with AsyncExitStack() as stack:
            profile = require_consistent(settings)
            encoder = await open_encoder(settings, profile, discard)
            stack.push_async_callback(encoder.aclose)
            embedder = Embedder(profile, encoder)
            yield join(settings, embedder, store, metrics=Metrics())

    return opened


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
