"""Vectors as JSON bytes: numbers straight from numpy, or base64 of little-endian float32."""

from collections.abc import Callable
from typing import Final

import orjson
import pybase64

from gateway.domain.vectors import Matrix, Vector

_NUMPY: Final = orjson.OPT_SERIALIZE_NUMPY


def as_base64(row: Vector) -> bytes:
    """One vector as a JSON string."""
    return b'"' + pybase64.b64encode(row.astype("<f4", copy=False).tobytes()) + b'"'


def as_numbers(row: Vector) -> bytes:
    """One vector as a JSON array, each number the shortest that reads back to the same float32."""
    return orjson.dumps(row, option=_NUMPY)


WRITERS: Final[dict[str, Callable[[Vector], bytes]]] = {
    "base64": as_base64,
    "float": as_numbers,
}


def vectors_array(vectors: Matrix, encoding_format: str) -> bytes:
    """Rows as one JSON array."""
    write = WRITERS[encoding_format]
    return b"[" + b",".join([write(row) for row in vectors]) + b"]"
