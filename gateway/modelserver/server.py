"""The application on a socket: uvicorn, connections that can be reset, a clean stop."""

import logging
import socket
import struct
from asyncio import Runner

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.errors import ConfigurationError
from gateway.modelserver.app import TEIApp

KEEP_ALIVE_SECONDS = 75
STOP_SECONDS = 30


class ResettableProtocol(HttpToolsProtocol):
    """Lets the application reset its own connection, as a server that is killed does."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"tei.transport": {"abort": self._abort}}

    def _abort(self) -> None:
        raw: socket.socket = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def listen(host: str, port: int) -> socket.socket:
    """Listen with the protocol named: asyncio turns Nagle's delay off (40 ms a request) only then.

    Raises:
        ConfigurationError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
    except OSError as exc:
        listener.close()
        raise ConfigurationError(f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    return listener


def server_config(app: TEIApp) -> uvicorn.Config:
    """One worker on httptools; the application needs no lifespan and logs itself."""
    logging.getLogger("uvicorn.error").addFilter(_is_no_half_body)
    return uvicorn.Config(
        app,
        http=ResettableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


async def serve(app: TEIApp, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; then finish what is in flight, within `STOP_SECONDS`."""
    await uvicorn.Server(server_config(app)).serve(sockets=[listener])


def event_loop() -> Runner:
    """A runner on the fastest loop there is: uvloop where it is installed."""
    return Runner(loop_factory=uvicorn.Config("", loop="auto").get_loop_factory())


def _is_no_half_body(record: logging.LogRecord) -> bool:
    """Leave out what uvicorn says of an answer that a fault cut in the middle."""
    return "without completing response" not in record.getMessage()
