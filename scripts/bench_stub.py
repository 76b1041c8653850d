"""A TEI that answers at once: canned base64 vectors over raw asyncio, so that only we are measured.

Run as a process of its own: python scripts/bench_stub.py PORT
"""

import asyncio
import base64
import sys
from typing import cast

import msgspec
import numpy as np

SIZE = 768
INFO = {
    "model_id": "google/embeddinggemma-300m",
    "model_sha": None,
    "model_dtype": "float32",
    "served_model_name": "google/embeddinggemma-300m",
    "model_type": {"embedding": {"pooling": "mean"}},
    "max_concurrent_requests": 4096,
    "max_input_length": 2048,
    "max_batch_tokens": 16384,
    "max_batch_requests": None,
    "max_client_batch_size": 32,
    "auto_truncate": False,
    "tokenization_workers": 1,
    "version": "1.9.3",
}


class Request(msgspec.Struct):
    input: list[str] | str = ""


class Inputs(msgspec.Struct):
    inputs: list[str] | str = ""


def _canned() -> bytes:
    row = np.random.default_rng(0).normal(size=SIZE).astype("<f4")
    return base64.b64encode(row.tobytes())


ROW = _canned()
DECODER = msgspec.json.Decoder(Request)
ANSWERS: dict[int, bytes] = {}


def embeddings(count: int) -> bytes:
    """Return the whole HTTP response for `count` inputs."""
    if count not in ANSWERS:
        rows = b",".join(
            b'{"object":"embedding","embedding":"%s","index":%d}' % (ROW, i) for i in range(count)
        )
        body = (
            b'{"object":"list","data":[%s],"model":"m","usage":{"prompt_tokens":%d,"total_tokens":%d}}'
            % (rows, 3 * count, 3 * count)
        )
        ANSWERS[count] = response(body)
    return ANSWERS[count]


def response(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


class Stub(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and content-length: all that our client speaks."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = _content_length(head)
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self.transport.write(answer(head.split(b" ", 2)[1], body))


def answer(path: bytes, body: bytes) -> bytes:
    if path == b"/v1/embeddings":
        texts = DECODER.decode(body).input
        return embeddings(1 if isinstance(texts, str) else len(texts))
    if path == b"/info":
        return response(msgspec.json.encode(INFO))
    if path == b"/tokenize":
        texts = msgspec.json.decode(body, type=Inputs).inputs
        count = 1 if isinstance(texts, str) else len(texts)
        token = {"id": 1, "text": "x", "special": False, "start": 0, "stop": 1}
        return response(msgspec.json.encode([[token] * 3] * count))
    return response(b"")


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Stub, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
