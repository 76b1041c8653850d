"""Reference clients of TEI: asyncio streams, keep-alive, batches of 32, nothing checked.

`base64` is the leanest honest one; `base64-stdlib` is what a plain program does; `json` and
`json-stdlib` read the vectors as JSON numbers.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec
import numpy as np
import orjson
import pybase64
from bench_rows import SIZE, Matrix

BATCH: Final = 32
BUFFER_BYTES: Final = 1 << 20
PAUSE_SECONDS: Final = 0.01


class _Item(msgspec.Struct):
    embedding: str


class _Answer(msgspec.Struct):
    data: list[_Item]


_read_answer: Final = msgspec.json.Decoder(_Answer).decode


def _lean(body: bytes) -> Matrix:
    rows = [pybase64.b64decode(item.embedding) for item in _read_answer(body).data]
    return np.frombuffer(b"".join(rows), "<f4").reshape(-1, SIZE)


def _plain(body: bytes) -> Matrix:
    rows = [base64.b64decode(item["embedding"]) for item in json.loads(body)["data"]]
    return np.frombuffer(b"".join(rows), "<f4").reshape(-1, SIZE)


def _numbers(body: bytes) -> Matrix:
    return np.array([item["embedding"] for item in orjson.loads(body)["data"]], np.float32)


def _plain_numbers(body: bytes) -> Matrix:
    return np.array([item["embedding"] for item in json.loads(body)["data"]], np.float32)


def _plain_dumps(body: Any) -> bytes:
    return json.dumps(body).encode()


@dataclass(frozen=True)
class Wire:
    """How one reference client writes and reads."""

    encoding_format: str
    dumps: Callable[[Any], bytes]
    read: Callable[[bytes], Matrix]


WIRES: Final = {
    "base64": Wire("base64", orjson.dumps, _lean),
    "base64-stdlib": Wire("base64", _plain_dumps, _plain),
    "json": Wire("float", orjson.dumps, _numbers),
    "json-stdlib": Wire("float", _plain_dumps, _plain_numbers),
}


class AnsweredError(Exception):
    """The server answered another status than 200."""


class Bare:
    """One reference client; `patient` repeats what was refused or cut off, after a short pause."""

    def __init__(self, port: int, wire: Wire, *, connections: int, patient: bool) -> None:
        self.port = port
        self.wire = wire
        self.connections = connections
        self.patient = patient
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _reader, writer in self.free:
            writer.close()

    async def bulk(self, texts: Sequence[str]) -> Matrix:
        rows = np.empty((len(texts), SIZE), np.float32)
        starts = iter(range(0, len(texts), BATCH))

        async def work() -> None:
            for start in starts:
                batch = texts[start : start + BATCH]
                rows[start : start + BATCH] = await self.embed(batch)

        await asyncio.gather(*(work() for _ in range(self.connections)))
        return rows

    async def single(self, text: str) -> Matrix:
        return await self.embed([text])

    async def embed(self, texts: Sequence[str]) -> Matrix:
        body = self.wire.dumps({"input": texts, "encoding_format": self.wire.encoding_format})
        while True:
            try:
                return self.wire.read(await self.exchange(body))
            except (AnsweredError, ConnectionError, asyncio.IncompleteReadError):
                if not self.patient:
                    raise
                await asyncio.sleep(PAUSE_SECONDS)

    async def exchange(self, body: bytes) -> bytes:
        if self.free:
            reader, writer = self.free.pop()
        else:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, limit=BUFFER_BYTES
            )
        writer.write(
            b"POST /v1/embeddings HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer = await reader.readexactly(length)
        self.free.append((reader, writer))
        if not head.startswith(b"HTTP/1.1 200 "):
            raise AnsweredError(head.partition(b"\r\n")[0].decode())
        return answer
