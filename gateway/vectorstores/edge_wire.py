"""Frames between the gateway and the worker of the embedded store: length, then MessagePack.

A request is `[id, operation, arguments]`, a reply `[id, status, value]`; replies with id 0 are
notices. Vectors travel as float32 bytes, ids as 16 bytes each.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, BinaryIO, Final
from uuid import UUID

import msgspec

OK: Final = "ok"
MISSING: Final = "missing"
FAILED: Final = "failed"
FULL: Final = "full"
READY: Final = "ready"
LOCKED: Final = "locked"
INDEXING: Final = "indexing"
INDEXED: Final = "indexed"

NOTICE: Final = 0
_HEADER: Final = 4
_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final = msgspec.msgpack.Decoder(tuple[int, str, dict[str, Any]])
_replies: Final = msgspec.msgpack.Decoder(tuple[int, str, Any])


def frame(message: tuple[int, str, Any]) -> bytes:
    """Return one message as it goes through the pipe."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_HEADER, "big") + body


def read_request(pipe: BinaryIO) -> tuple[int, str, dict[str, Any]] | None:
    """Block for the next request; None when the other end has closed."""
    header = pipe.read(_HEADER)
    if len(header) < _HEADER:
        return None
    size = int.from_bytes(header, "big")
    body = pipe.read(size)
    return _requests.decode(body) if len(body) == size else None


async def read_reply(pipe: asyncio.StreamReader) -> tuple[int, str, Any] | None:
    """Wait for the next reply; None when the worker has closed its end."""
    try:
        header = await pipe.readexactly(_HEADER)
        return _replies.decode(await pipe.readexactly(int.from_bytes(header, "big")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def pack_ids(ids: Sequence[UUID]) -> bytes:
    return b"".join(point_id.bytes for point_id in ids)


def unpack_ids(data: bytes) -> list[UUID]:
    return [UUID(bytes=data[at : at + 16]) for at in range(0, len(data), 16)]
