"""TEI 1.9.3 on the wire, as far as the benchmarks' clients see it: requests read, answers written."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import bench_rows
import msgspec
import numpy as np
import orjson
import pybase64

INFO: Final = {
    "model_id": "google/embeddinggemma-300m",
    "model_sha": None,
    "model_dtype": "float32",
    "served_model_name": "google/embeddinggemma-300m",
    "model_type": {"embedding": {"pooling": "mean"}},
    "max_input_length": 2048,
    "max_batch_requests": None,
    "max_client_batch_size": 32,
    "auto_truncate": False,
    "tokenization_workers": 1,
    "version": "1.9.3",
    "sha": None,
    "docker_label": None,
}
BYTES_PER_TOKEN: Final = 5


class Call(msgspec.Struct):
    """A body of `/v1/embeddings`."""

    input: list[str] | str
    encoding_format: str = "float"


class Inputs(msgspec.Struct):
    """A body of a native route."""

    inputs: list[str] | str


_read_call: Final = msgspec.json.Decoder(Call).decode
_read_inputs: Final = msgspec.json.Decoder(Inputs).decode

_POINTS: Final = [point.tobytes() for point in bench_rows.POINTS]
_EXTRA: Final = bench_rows.TAIL[:2].tobytes()
"""Fills the digest's 16 bytes up to 24, which base64 writes without padding."""
_TAIL_BASE64: Final = pybase64.b64encode(bench_rows.TAIL[2:].tobytes())
_TAIL_NUMBERS: Final = orjson.dumps(bench_rows.TAIL, option=orjson.OPT_SERIALIZE_NUMPY)[1:]


def read_call(body: bytes) -> tuple[list[str], str]:
    call = _read_call(body)
    return ([call.input] if isinstance(call.input, str) else call.input), call.encoding_format


def read_inputs(body: bytes) -> tuple[list[str], str]:
    inputs = _read_inputs(body).inputs
    return ([inputs] if isinstance(inputs, str) else inputs), "float"


EMBED_ROUTES: Final[dict[bytes, Callable[[bytes], tuple[list[str], str]]]] = {
    b"/v1/embeddings": read_call,
    b"/embed": read_inputs,
    b"/": read_inputs,
}


def embeddings(texts: list[str], encoding: str, *, native: bool) -> bytes:
    """Return the whole HTTP response for texts."""
    write = _base64 if encoding == "base64" else _numbers
    vectors = [write(bench_rows.digest(text.encode())) for text in texts]
    if native:
        return response(b"[%s]" % b",".join(vectors))
    rows = b",".join(
        b'{"object":"embedding","embedding":%s,"index":%d}' % (vector, index)
        for index, vector in enumerate(vectors)
    )
    used = tokens(texts)
    return response(
        b'{"object":"list","data":[%s],"model":"google/embeddinggemma-300m",'
        b'"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (rows, used, used)
    )


def tokenized(body: bytes) -> bytes:
    """Answer `/tokenize`: as many tokens as `tokens` says."""
    texts, _ = read_inputs(body)
    token = b'{"id":1,"text":"x","special":false,"start":0,"stop":1}'
    return response(b"[%s]" % b",".join(b"[%s]" % b",".join([token] * tokens([t])) for t in texts))


def tokens(texts: list[str]) -> int:
    """Tokens of texts, two specials each; a token is five characters here."""
    return sum(len(text) // BYTES_PER_TOKEN + 2 for text in texts)


def info(max_concurrent_requests: int, max_batch_tokens: int) -> bytes:
    limits = {
        "max_concurrent_requests": max_concurrent_requests,
        "max_batch_tokens": max_batch_tokens,
    }
    return response(orjson.dumps(INFO | limits))


def overloaded(*, native: bool) -> bytes:
    return _refusal(429, b"Too Many Requests", b"Model is overloaded", b"Overloaded", native=native)


def too_many(count: int, *, native: bool) -> bytes:
    message = b"batch size %d > maximum allowed batch size 32" % count
    return _refusal(422, b"Unprocessable Entity", message, b"Validation", native=native)


def response(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _refusal(code: int, reason: bytes, message: bytes, kind: bytes, *, native: bool) -> bytes:
    if native:
        body = b'{"error":"%s","error_type":"%s"}' % (message, kind)
    else:
        body = b'{"message":"%s","code":%d,"type":"%s"}' % (message, code, kind)
    return response(body, b"%d %s" % (code, reason))


def _base64(digest: int) -> bytes:
    head = _POINTS[digest & 0xFFFF] + _POINTS[digest >> 16] + _EXTRA
    return b'"%s%s"' % (pybase64.b64encode(head), _TAIL_BASE64)


def _numbers(digest: int) -> bytes:
    return b"[%s,%s,%s" % (
        _point_numbers(digest & 0xFFFF),
        _point_numbers(digest >> 16),
        _TAIL_NUMBERS,
    )


@lru_cache(maxsize=bench_rows.ANGLES)
def _point_numbers(angle: int) -> bytes:
    point = np.ascontiguousarray(bench_rows.POINTS[angle])
    return orjson.dumps(point, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
