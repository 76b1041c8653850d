"""A server of OpenAI's `/v1/embeddings` on a loopback port, as wrong as a test wants it.

    with OpenAIStub(form="float", models=("a", "b")) as stub:
        stub.fail(429, times=2)

It is threads and sockets of the standard library: nothing of the gateway's own server is in it.
"""

import base64
import hashlib
import json
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from gateway.domain.vectors import Matrix
from tests.support.ports import free_port


@dataclass(frozen=True)
class Refusal:
    """An answer other than 200, word for word."""

    status: int
    body: object = "no"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


Fault: TypeAlias = int | Refusal | Literal["reset", "half", "page"]
Rows: TypeAlias = Callable[[Sequence[str]], Matrix]

SIZE = 64


def words() -> Tokenizer:
    """Return a tokenizer that reads words and marks, and puts two special tokens around them."""
    tokenizer = Tokenizer(models.WordLevel({"<bos>": 0, "<eos>": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 0), ("<eos>", 1)]
    )
    return tokenizer


def hashed(texts: Sequence[str], salt: str = "", size: int = SIZE) -> Matrix:
    """Return one row of noise for each text, the same wherever it stands."""
    seeds = [hashlib.sha256((salt + text).encode()).digest()[:8] for text in texts]
    made = [np.random.default_rng(int.from_bytes(seed)).standard_normal(size) for seed in seeds]
    return np.array(made, np.float32)


class OpenAIStub:
    """Serves while entered. It can be entered again: the same port then comes back to life.

    `refuses` gives the status with which a request is refused that holds such a text; `reads` is the
    longest text in tokens, longer ones are cut; `prompt` is put before every text.
    """

    def __init__(
        self,
        *,
        rows: Rows = hashed,
        form: Literal["base64", "float"] = "base64",
        models: tuple[str, ...] | None = ("stub",),
        refuses: Callable[[str], int] = lambda _text: 0,
        reads: int = 1 << 30,
        prompt: str = "",
        usage: bool = True,
        reverse: bool = False,
        latency: float = 0.0,
        api_key: str | None = None,
    ) -> None:
        self.rows, self.form, self.models, self.refuses = rows, form, models, refuses
        self.reads, self.prompt, self.usage, self.reverse = reads, prompt, usage, reverse
        self.latency, self.api_key = latency, api_key
        self.asked: list[dict[str, Any]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._faults: deque[Fault] = deque()
        self._lock = Lock()
        self._tokenizer = words()
        self._server: _Server | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, fault: Fault, *, times: int = 1) -> None:
        """Play a fault on the next embedding requests: a status, or what a dying server does."""
        self._faults.extend(fault for _ in range(times))

    def take_fault(self) -> Fault | None:
        return self._faults.popleft() if self._faults else None

    def answer(self, asked: dict[str, Any]) -> tuple[int, Any]:
        """Return status and body of an embedding request."""
        with self._lock:
            self.asked.append(asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.latency)
        with self._lock:
            self._at_once -= 1
        texts: list[str] = asked["input"]
        for status in filter(None, map(self.refuses, texts)):
            return status, {"error": {"code": status, "message": "no", "type": "server_error"}}
        return 200, self._embedded(texts)

    def _embedded(self, texts: list[str]) -> dict[str, Any]:
        counts = [len(e) for e in self._tokenizer.encode_batch([self.prompt + t for t in texts])]
        data = [
            {"object": "embedding", "index": index, "embedding": self._written(row)}
            for index, row in enumerate(self.rows(texts))
        ]
        body: dict[str, Any] = {"object": "list", "data": data[::-1] if self.reverse else data}
        if self.usage:
            body["usage"] = {"prompt_tokens": sum(min(count, self.reads) for count in counts)}
        return body

    def _written(self, row: Matrix) -> object:
        if self.form == "base64":
            return base64.b64encode(row.astype("<f4").tobytes()).decode()
        return [None if np.isnan(value) else value for value in row.tolist()]

    def __enter__(self) -> Self:
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.stub = self
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 128
    stub: OpenAIStub

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.connections: list[socket.socket] = []

    def hang_up(self) -> None:
        """End the connections that are kept alive, so that their threads end."""
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the other side was quicker
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client may hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.connection)

    def do_GET(self) -> None:
        served = self.server.stub.models
        if self.path != "/v1/models" or served is None:
            self._send(404, {"error": "no such route"})
            return
        self._send(200, {"data": [{"id": name, "object": "model"} for name in served]})

    def do_POST(self) -> None:
        stub = self.server.stub
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if stub.api_key and self.headers["authorization"] != f"Bearer {stub.api_key}":
            self._send(401, {"error": {"message": "Invalid API Key"}})
            return
        fault = stub.take_fault()
        if isinstance(fault, int):
            self._send(fault, {"error": {"code": fault, "message": "a fault"}})
        elif isinstance(fault, Refusal):
            self._send(fault.status, fault.body, headers=fault.headers)
        elif fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        else:
            self._send(*stub.answer(asked), half=fault == "half", page=fault == "page")

    def _send(
        self,
        status: int,
        body: object,
        *,
        half: bool = False,
        page: bool = False,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        content = b"<html>hello</html>" if page else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if half else content)
        self.wfile.flush()
        self.close_connection = self.close_connection or half

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""
