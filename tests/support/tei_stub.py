"""A real TEI-speaking server on a loopback port, in a thread of its own.

    with TEIStub("1.9.3", encoder=FakeEncoder(), max_client_batch_size=8) as stub:
        client = TEIClient(stub.url)
        stub.fail("overloaded", times=2)

It is the application of `gateway.modelserver`; options are the fields of its `Contract`.
"""

import asyncio
import hashlib
import logging
import re
import socket
from collections.abc import Iterable, Sequence
from threading import Thread
from types import TracebackType
from typing import Any, Self

import numpy as np
import uvicorn
from tokenizers import Tokenizer
from uvicorn.server import ServerState

from gateway.modelserver.app import TEIApp
from gateway.modelserver.contract import Contract
from gateway.modelserver.engines import EncodeRows, Engine, Scorer, TextEngine, engine_over
from gateway.modelserver.faults import Fault, FaultKind, FaultScript
from gateway.modelserver.log import Log
from gateway.modelserver.replies import Rows
from gateway.modelserver.server import ResettableProtocol, listen
from gateway.modelserver.service import Service
from gateway.modelserver.tokens import pattern_tokens, real_tokens
from gateway.ports import Encoder
from tests.support.ports import free_port

STOP_SECONDS = 10.0
ACCEPTING_TURNS = 10
"""Turns of the loop in which a connection accepted just before the stop is made for certain."""
_WORDS = re.compile(r"\S+")


class TEIStub:
    """Serves while entered. It can be entered again: the same port then comes back to life."""

    def __init__(
        self,
        contract: str = "1.9.3",
        *,
        encoder: Encoder | EncodeRows | None = None,
        tokenizer: Tokenizer | None = None,
        reranker: Scorer | None = None,
        faults: Iterable[Fault] = (),
        latency: float = 0.0,
        host: str = "127.0.0.1",
        port: int = 0,
        **options: Any,
    ) -> None:
        """Describe a server of version `contract`; `port` 0 takes a free one at once.

        `encoder` gives vectors and, if it is an `Encoder`, token counts; `tokenizer` gives real
        tokens instead; `latency` is how many seconds each embedding request works.
        """
        self.contract = Contract(version=contract, **options)
        self.host = host
        self.port = port or free_port()
        self._encoder = encoder
        self._tokenizer = tokenizer
        self._reranker = reranker
        self._faults = FaultScript(faults)
        self._latency = latency
        self._app: TEIApp | None = None
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> Log:
        return self._running.log

    @property
    def most_inputs_in_flight(self) -> int:
        return self._running.service.permits.most_taken

    def fail(
        self,
        kind: FaultKind,
        *,
        times: int | None = 1,
        path: str | None = None,
        seconds: float = 0.2,
    ) -> None:
        """Script a fault: see `gateway.modelserver.faults`."""
        self._faults.add(Fault(kind, times, path, seconds))

    @property
    def faults_left(self) -> list[Any]:
        """Scripted faults that were not played yet."""
        return self._faults.state()["faults"]

    def heal(self) -> None:
        self._faults.clear()

    def __enter__(self) -> Self:
        listener = listen(self.host, self.port)
        service = Service(
            self.contract,
            self._engine(),
            reranker=self._reranker,
            latency=self._latency,
            records=True,
        )
        self._app = TEIApp(service, self._faults)
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

    def _engine(self) -> Engine:
        """Hashed rows over words unless an encoder or a tokenizer is given."""
        encoder = self._encoder or hashed_rows
        if hasattr(encoder, "encode"):
            full: Encoder = encoder  # pyright: ignore[reportAssignmentType]
            return engine_over(full, self._tokenizer)
        encode: EncodeRows = encoder  # pyright: ignore[reportAssignmentType]
        if self._tokenizer is None:
            return TextEngine(encode, pattern_tokens(_WORDS))
        return TextEngine(encode, real_tokens(self._tokenizer), self._tokenizer)


async def hashed_rows(texts: Sequence[str], size: int = 768) -> Rows:
    """A random direction per text, the same in every process."""
    rows = np.empty((len(texts), size), np.float32)
    for row, text in zip(rows, texts, strict=True):
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        source = np.random.default_rng(int.from_bytes(digest, "little"))
        row[:] = source.standard_normal(size, np.float32)
    return rows
