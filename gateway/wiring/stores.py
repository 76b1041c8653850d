"""The store that the settings name; adapters are imported only when they are used."""

from typing import TYPE_CHECKING

from gateway.events import Sink
from gateway.ports import VectorStore
from gateway.settings import Settings

if TYPE_CHECKING:  # adapters are imported when they are used
    pass


async def open_store(settings: Settings, sink: Sink) -> VectorStore:
    """Open the store that the settings name."""
    return await STORES[settings.store_kind](settings, sink)


async def _qdrant(settings: Settings, sink: Sink) -> VectorStore:
    from gateway.vectorstores.qdrant import QdrantStore  # noqa: PLC0415

    qdrant = settings.qdrant
    return QdrantStore.connect(
        qdrant.url or "",
        api_key=qdrant.api_key.get_secret_value() if qdrant.api_key else None,
        grpc_port=qdrant.grpc_port,
        search_timeout_seconds=qdrant.search_timeout_seconds,
        write_timeout_seconds=qdrant.write_timeout_seconds,
        sink=sink,
    )


async def _edge(settings: Settings, sink: Sink) -> VectorStore:
    from gateway.vectorstores.edge import EdgeStore  # noqa: PLC0415

    edge = settings.edge
    return await EdgeStore.open(
        settings.data_dir / "edge",
        flush_seconds=edge.flush_seconds,
        sync_writes=edge.sync_writes,
        timeout_seconds=edge.timeout_seconds,
        index_from=edge.index_from,
        sink=sink,
    )


async def _memory(_settings: Settings, _sink: Sink) -> VectorStore:
    from gateway.vectorstores.memory import MemoryStore  # noqa: PLC0415

    return MemoryStore()


STORES = {"qdrant": _qdrant, "edge": _edge, "memory": _memory}
