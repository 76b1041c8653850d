"""Applications over real parts that need no service: made-up vectors, a store in memory."""

import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from litestar import Litestar

from gateway.api.app import OpenRuntime, create_app
from gateway.api.server import DrainingServer, server_config
from gateway.bootstrap import Runtime, join
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import ModelProfile
from gateway.encoders.fake import FakeEncoder
from gateway.observability.metrics import Metrics
from gateway.ports import Encoder, VectorStore
from gateway.settings import Settings, load_settings
from gateway.vectorstores.memory import MemoryStore

KEY = "a-key-of-the-tests"


def settings_of(**server: Any) -> Settings:
    """Settings of a gateway without services; `server` are those of the HTTP server."""
    return load_settings({"store": "memory", "encoder": "fake", "server": server}, environ={})


def opener(
    *,
    profile: ModelProfile = EMBEDDING_GEMMA_300M,
    encoder: Callable[[], Encoder] | None = None,
    store: Callable[[], VectorStore] | None = None,
) -> OpenRuntime:
    """Return an `open_runtime` that joins the given parts, made inside the application's loop."""

    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncGenerator[Runtime, None]:
        metrics = Metrics()
        made = encoder() if encoder else FakeEncoder(size=profile.full_size)
        held = store() if store else MemoryStore()
        embedder = Embedder(profile, made, sink=metrics)
        yield join(settings, embedder, held, metrics=metrics)
        await made.aclose()
        await held.aclose()

    return opened


def fake_app(
    settings: Settings | None = None,
    open_runtime: Callable[[Settings], AbstractAsyncContextManager[Runtime]] | None = None,
) -> Litestar:
    return create_app(settings or settings_of(), open_runtime=open_runtime or opener())


@contextmanager
def live(app: Litestar) -> Generator[str, None, None]:
    """Serve an application by uvicorn, as `gateway serve` does, in a thread; yields its base URL."""
    settings: Settings = app.state.settings
    config = server_config(app, settings)
    server = DrainingServer(config, app.state.drain, settings.server.shutdown_seconds)
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=_run, args=(server, sock), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server died at start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        sock.close()


def _run(server: uvicorn.Server, sock: socket.socket) -> None:
    server.run(sockets=[sock])
