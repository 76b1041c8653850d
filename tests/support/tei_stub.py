"""A real TEI-speaking server on a loopback port, in a thread of its own.

    with TEIStub("1.9.3", encoder=FakeEncoder(), max_client_batch_size=8) as stub:
        client = TEIClient(stub.url)
        stub.fail("overloaded", times=2)

Options are the fields of `tests.support.tei_contract.Contract`.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Iterable
from threading import Thread
from types import TracebackType
from typing import Any, Self

import uvicorn
from tokenizers import Tokenizer
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.ports import Encoder
from tests.support.tei_app import Log, TEIApp
from tests.support.tei_contract import (
    Contract,
    EncodeRows,
    Model,
    Tokenize,
    counted_tokens,
    hashed_rows,
    real_tokens,
    rows_of,
    word_tokens,
)
from tests.support.tei_faults import Fault, FaultKind, FaultScript

STOP_SECONDS = 10.0
ACCEPTING_TURNS = 10
"""Turns of the loop in which a connection accepted just before the stop is made for certain."""


class TEIStub:
    """Serves while entered. It can be entered again: the same port then comes back to life."""

    def __init__(
        self,
        contract: str = "1.9.3",
        *,
        encoder: Encoder | EncodeRows | None = None,
        tokenizer: Tokenizer | None = None,
        faults: Iterable[Fault] = (),
        latency: float = 0.0,
        port: int = 0,
        **options: Any,
    ) -> None:
        """Describe a server of version `contract`; `port` 0 takes a free one at once.

        `encoder` gives vectors and, if it is an `Encoder`, token counts; `tokenizer` gives real
        tokens instead; `latency` is how many seconds each embedding request works.
        """
        self.contract = Contract(version=contract, **options)
        self.port = port or _free_port()
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._faults = FaultScript(faults)
        self._latency = latency
        self._app: TEIApp | None = None
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Log:
        return self._running.log

    @property
    def most_inputs_in_flight(self) -> int:
        return self._running.permits.most_taken

    def fail(
        self,
        kind: FaultKind,
        *,
        times: int | None = 1,
        path: str | None = None,
        seconds: float = 0.2,
    ) -> None:
        """Script a fault: see `tests.support.tei_faults`."""
        self._faults.add(Fault(kind, times, path, seconds))

    def heal(self) -> None:
        self._faults.clear()

    def __enter__(self) -> Self:
        listener = _listen(self.port)
        self._app = TEIApp(self._model(), self._faults, self._latency)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = Thread(target=self._run, args=(listener, self._app), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_SECONDS)
        assert not self._thread.is_alive(), "the stub server did not stop"

    def _run(self, listener: socket.socket, app: TEIApp) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listener, app))

    async def _serve(self, listener: socket.socket, app: TEIApp) -> None:
        """Serve until stopped; then every connection is closed and work in hand is dropped.

        Only uvicorn's protocol is used: its server takes a fifth of a second to stop.
        """
        config = uvicorn.Config(
            app, ws="none", lifespan="off", log_config=None, access_log=False, timeout_keep_alive=75
        )
        config.load()
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        state = ServerState()
        server = await self._loop.create_server(
            lambda: ResettableProtocol(config, state, app_state={}, _loop=self._loop), sock=listener
        )
        await self._stop.wait()
        server.close()
        for _ in range(ACCEPTING_TURNS):
            for task in state.tasks:
                task.cancel()
            for connection in tuple(state.connections):
                transport: asyncio.Transport = connection.transport
                transport.close()
            await asyncio.sleep(0)

    @property
    def _running(self) -> TEIApp:
        assert self._app is not None, "the stub server was never started"
        return self._app

    def _model(self) -> Model:
        encoder = self._encoder
        if encoder is None:
            return Model(self.contract, hashed_rows, self._tokenize(word_tokens))
        if not hasattr(encoder, "encode"):
            encode: EncodeRows = encoder  # pyright: ignore[reportAssignmentType]
            return Model(self.contract, encode, self._tokenize(word_tokens))
        full: Encoder = encoder  # pyright: ignore[reportAssignmentType]
        return Model(self.contract, rows_of(full), self._tokenize(counted_tokens(full)))

    def _tokenize(self, otherwise: Tokenize) -> Tokenize:
        return otherwise if self._tokenizer is None else real_tokens(self._tokenizer)


class ResettableProtocol(HttpToolsProtocol):
    """Lets the application reset its own connection, as a server that is killed does."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"tei.transport": {"abort": self._abort}}

    def _abort(self) -> None:
        raw: socket.socket = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _listen(port: int) -> socket.socket:
    """Listen with the protocol named: asyncio turns Nagle's delay off (40 ms a request) only then."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(512)
    return listener


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
