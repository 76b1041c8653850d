"""The only place where parts are joined. It owns their lifetimes; `wiring` opens each of them."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.embedding.embedder import Embedder
from gateway.events import fan_out
from gateway.ingest.pipeline import Ingestor
from gateway.observability.logs import log_events
from gateway.observability.metrics import Metrics
from gateway.ports import Health, Reranker, VectorStore
from gateway.retrieval.collections import Collections
from gateway.retrieval.pipeline import Retriever
from gateway.settings import Settings
from gateway.wiring.consistency import (
    require_consistent,
    require_default_task,
    usual_lexical,
    usual_rerank,
    weighing,
)
from gateway.wiring.encoders import open_encoder
from gateway.wiring.models import open_reranker
from gateway.wiring.stores import open_store

if TYPE_CHECKING:  # adapters are imported when they are used
    pass


@dataclass(frozen=True, slots=True)
class Runtime:
    """The joined parts of a running gateway."""

    settings: Settings
    embedder: Embedder
    store: VectorStore
    collections: Collections
    retriever: Retriever
    ingestor: Ingestor
    metrics: Metrics
    reranker: Reranker | None = None

    async def health(self) -> list[Health]:
        """State of every dependency."""
        found = [await self.embedder.encoder.health(), await self.store.health()]
        return found if self.reranker is None else [*found, await self.reranker.health()]


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncGenerator[Runtime, None]:
    """Open encoder and store as configured, join the rest, close them in reverse order.

    Servers that are down do not stop it (their calls fail and `/readyz` says so); servers that
    would answer wrongly do.

    Raises:
        ConfigurationError: a setting, an extra, a pinned file or a server is not usable.
    """
    profile = require_consistent(settings)
    metrics = Metrics()
    sink = fan_out(metrics, log_events)
    async with AsyncExitStack() as stack:
        encoder = await open_encoder(settings, profile, sink)
        stack.push_async_callback(encoder.aclose)
        embedder = Embedder(profile, encoder, sink=sink)
        store = await open_store(settings, sink)
        stack.push_async_callback(store.aclose)
        reranker = await open_reranker(settings, sink)
        if reranker is not None:
            stack.push_async_callback(reranker.aclose)
        yield join(settings, embedder, store, metrics=metrics, reranker=reranker)


def join(
    settings: Settings,
    embedder: Embedder,
    store: VectorStore,
    *,
    metrics: Metrics,
    reranker: Reranker | None = None,
) -> Runtime:
    """Build the use cases over an open embedder and store; tests join fakes here."""
    require_default_task(settings, embedder.profile)
    sink = fan_out(metrics, log_events)
    collections = Collections(
        embedder,
        store,
        size=settings.size,
        lexical=usual_lexical(settings),
        weighing=weighing(settings),
        coarse=settings.collections.coarse,
    )
    return Runtime(
        settings=settings,
        embedder=embedder,
        store=store,
        collections=collections,
        retriever=Retriever(
            embedder,
            store,
            collections,
            reranker=reranker,
            usual_rerank=usual_rerank(settings),
            sink=sink,
        ),
        ingestor=Ingestor(
            embedder,
            store,
            chunk_tokens=min(settings.ingest.chunk_tokens, embedder.max_tokens),
            overlap_tokens=settings.ingest.overlap_tokens,
            sink=sink,
        ),
        metrics=metrics,
        reranker=reranker,
    )
