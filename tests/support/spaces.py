"""One store after another that hold the same: two gateways, of two models, over one place."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

from qdrant_client import AsyncQdrantClient

from gateway.bootstrap import Runtime, join
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import ModelProfile
from gateway.encoders.fake import FakeEncoder
from gateway.observability.metrics import Metrics
from gateway.ports import VectorStore
from gateway.settings import Settings, load_settings
from gateway.vectorstores.edge import EdgeStore
from gateway.vectorstores.memory import MemoryStore
from gateway.vectorstores.qdrant import QdrantStore

KINDS = ("memory", "edge", "qdrant")
OpenStore: TypeAlias = Callable[[], AbstractAsyncContextManager[VectorStore]]


def place(kind: str, folder: Path) -> OpenStore:
    """Return what opens a store of one kind; what one left there the next one finds."""
    memory, client = MemoryStore(), AsyncQdrantClient(":memory:")

    @asynccontextmanager
    async def opened() -> AsyncGenerator[VectorStore, None]:
        if kind != "edge":  # to close either of these is to lose what it holds
            yield memory if kind == "memory" else QdrantStore.over(client)
            return
        store = await EdgeStore.open(folder / "edge")
        yield store
        await store.aclose()

    return opened


@asynccontextmanager
async def gateway_of(
    profile: ModelProfile, open_store: OpenStore, settings: Settings | None = None
) -> AsyncGenerator[Runtime, None]:
    """A gateway of one model with made-up vectors."""
    settings = settings or load_settings({"store": "memory", "encoder": "fake"}, environ={})
    encoder = FakeEncoder(size=profile.full_size, max_tokens=profile.max_tokens)
    async with open_store() as store:
        yield join(settings, Embedder(profile, encoder), store, metrics=Metrics())
