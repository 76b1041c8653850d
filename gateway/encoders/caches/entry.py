"""Keys and values of cached vectors: which space and text a row belongs to, and whether it is sound.

A key is a digest of the space and of what made the vectors, then a digest of the rendered text. A
value is a head (magic, tokens, size, checksum) and the full raw row, little-endian float32. The
checksum covers the key too, so that a row under another text's key is not believed.
"""

import json
import struct
import zlib
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np

from gateway.domain.vectors import Matrix, Vector
from gateway.encoders.caches.port import KEY_BYTES
from gateway.ports import EncoderInfo

_MAGIC: Final = b"GV1\0"
_HEAD: Final = struct.Struct("<4sIII")
_SPACE_BYTES: Final = 16
_OPERATIONAL: Final = frozenset({"urls", "verified", "tokens"})
"""Details of an encoder that say how it is reached, not what its vectors are."""


def space_key(space: str, info: EncoderInfo) -> bytes | None:
    """Digest what makes vectors interchangeable bit by bit; None while it is not known.

    That is the fingerprint of the space, and of the encoder its kind, model, size, dtype, variant
    and every detail that is not about how it is reached: device, modules, weights, and for servers
    their models, dtypes and versions. Servers of which none is verified yet could be anything.
    """
    details = dict(info.details)
    if details.get("verified") == "0":
        return None
    facts = [space, info.kind, info.model_id, info.size, info.dtype, info.variant]
    facts += [[name, details[name]] for name in sorted(details.keys() - _OPERATIONAL)]
    return blake2b(json.dumps(facts).encode(), digest_size=_SPACE_BYTES).digest()


def text_key(space: bytes, text: str) -> bytes:
    """Return the key of a rendered text in the space of a `space_key`."""
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=KEY_BYTES - _SPACE_BYTES)
    return space + digest.digest()


def pack(key: bytes, row: Vector, tokens: int) -> bytes:
    """Return the value of a full raw row."""
    body = row.astype("<f4", copy=False).tobytes()
    head = _HEAD.pack(_MAGIC, tokens, len(row), 0)
    return _HEAD.pack(_MAGIC, tokens, len(row), _checksum(key, head, body)) + body


def unpack(key: bytes, value: bytes, size: int) -> tuple[memoryview, int] | None:
    """Return the bytes of the row and its tokens, or None when this was not packed under `key`."""
    if len(value) != _HEAD.size + 4 * size:
        return None
    magic, tokens, stored_size, checksum = _HEAD.unpack_from(value)
    body = memoryview(value)[_HEAD.size :]
    head = _HEAD.pack(magic, tokens, stored_size, 0)
    if magic != _MAGIC or stored_size != size or checksum != _checksum(key, head, body):
        return None
    return body, tokens


def rows_of(bodies: Sequence[memoryview], size: int) -> Matrix:
    """Return the rows of unpacked entries as one matrix of its own memory."""
    rows = np.frombuffer(bytearray().join(bodies), "<f4").astype(np.float32, copy=False)
    return rows.reshape(len(bodies), size)


def _checksum(key: bytes, head: bytes, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(head, zlib.crc32(key)))


def keys_of(space: bytes, texts: Sequence[str]) -> list[bytes]:
    return [text_key(space, text) for text in texts]
