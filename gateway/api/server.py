"""`gateway serve`: one uvicorn worker, because the embedded store belongs to one process."""

import gc
import logging
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import structlog
import uvicorn
from litestar import Litestar

from gateway.api.app import create_app
from gateway.api.drain import Drain
from gateway.api.gathering import GatheringProtocol
from gateway.bootstrap import Runtime, open_runtime
from gateway.errors import ConfigurationError, GatewayError
from gateway.settings import Settings
from gateway.settings.addresses import is_loopback

GC_THRESHOLDS: Final = (50_000, 20, 50)
"""New objects before young ones are looked at, and how often that before older ones are."""


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; then finish what is in flight, within `shutdown_seconds`.

    Raises:
        ConfigurationError: an open gateway on an address that others can reach.
        GatewayError: the runtime could not be opened.
    """
    require_bindable(settings)
    failures: list[GatewayError] = []

    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncGenerator[Runtime, None]:
        try:
            async with open_runtime(settings) as runtime:
                with rare_collections():
                    yield runtime
        except GatewayError as exc:
            failures.append(exc)
            raise

    logging.getLogger("uvicorn.error").addFilter(lambda _record: not failures)
    app = create_app(settings, open_runtime=opened)
    grace = settings.server.shutdown_seconds
    try:
        DrainingServer(server_config(app, settings), app.state.drain, grace).run()
    except SystemExit:  # uvicorn leaves so when the lifespan fails; our error says why
        if not failures:
            raise
    if failures:
        raise failures[0]


def server_config(app: Litestar, settings: Settings) -> uvicorn.Config:
    """One worker on uvloop and httptools; logs are ours alone."""
    return uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        loop="uvloop",
        http=GatheringProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        workers=1,
        timeout_graceful_shutdown=settings.server.shutdown_seconds,
    )


@contextmanager
def rare_collections() -> Generator[None, None, None]:
    """Collect cyclic garbage less often inside; for a process that does nothing but serve.

    A request makes thousands of objects and hardly a cycle, yet by default Python looks for cycles
    every 700 of them, and now and then through all modules: 150 us of the 850 of an embedded query.
    What is there at the start is never looked at again.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


class DrainingServer(uvicorn.Server):
    """A uvicorn server that tells long streams when it begins to stop."""

    def __init__(self, config: uvicorn.Config, drain: Drain, grace_seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._grace_seconds = grace_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            log = structlog.get_logger("gateway.api")
            log.info("serving", host=self.config.host, port=self.config.port, docs="/docs")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._drain.begin(self._grace_seconds)
        await super().shutdown(sockets)


def require_bindable(settings: Settings) -> None:
    """Refuse to serve without keys where others can reach it, unless the operator means it.

    Raises:
        ConfigurationError: `server.host` is no loopback address, no key is set, and
            `server.allow_open` is false.
    """
    server = settings.server
    if server.api_keys or server.allow_open or is_loopback(server.host):
        return
    raise ConfigurationError(
        f"refusing to serve on {server.host!r} without API keys: anyone who reaches it could read "
        "and delete everything; set server.api_keys (GATEWAY_SERVER__API_KEYS), bind 127.0.0.1, or "
        "set server.allow_open=true if something in front of it keeps others out"
    )
