"""The JSON of OpenAI's `/v1/embeddings` and `/v1/models`, as servers other than OpenAI speak it."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec
import numpy as np
import pybase64

from gateway.domain.vectors import Matrix
from gateway.errors import UpstreamError
from gateway.tei.refusals import UNREADABLE

T = TypeVar("T")

SERVICE: Final = "openai"
EMBEDDINGS: Final = "/v1/embeddings"
MODELS: Final = "/v1/models"


class _Item(msgspec.Struct):
    index: int
    embedding: str | list[float | None]


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0


class _Embeddings(msgspec.Struct):
    data: list[_Item]
    usage: _Usage | None = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


_read_embeddings: Final = msgspec.json.Decoder(_Embeddings).decode
_read_models: Final = msgspec.json.Decoder(_Models).decode


def embeddings_body(texts: Iterable[bytes], model: str) -> bytes:
    """Body of a request for texts already in JSON."""
    name = msgspec.json.encode(model)
    start = b'{"model":' + name + b',"encoding_format":"base64","input":['
    return start + b",".join(texts) + b"]}"


def decode_embeddings(body: bytes, count: int) -> tuple[Matrix, int | None]:
    """Read rows in the order of the inputs, shape (count, size), and the tokens the server read.

    A server may answer numbers although base64 was asked for; `null` becomes NaN. The tokens are
    None where it counts none. NaN and zeros pass.

    Raises:
        UpstreamError: not `count` vectors of one length, each index once.
    """
    answer = _decode(_read_embeddings, body, EMBEDDINGS)
    data = sorted(answer.data, key=_index)
    if [item.index for item in data] != list(range(count)):
        raise _broken(f"answered {len(data)} vectors with wrong indexes for {count} inputs")
    rows = [_row(item.embedding) for item in data]
    if rows[0].size == 0 or any(row.size != rows[0].size for row in rows):
        raise _broken("answered vectors of different or no length")
    tokens = answer.usage.prompt_tokens if answer.usage else 0
    return np.stack(rows), tokens or None


def decode_models(body: bytes) -> list[str]:
    """Names of the served models, or `UpstreamError` where the answer is not OpenAI's."""
    return [model.id for model in _decode(_read_models, body, MODELS).data]


def _row(embedding: str | list[float | None]) -> Matrix:
    if isinstance(embedding, list):
        return np.array(embedding, np.float32)
    try:
        content = pybase64.b64decode(embedding, validate=True)
        return np.frombuffer(content, "<f4").astype(np.float32, copy=False)
    except ValueError as exc:
        raise _broken("answered a vector that is not base64 of 32-bit floats") from exc


def _decode(decode: Callable[[bytes], T], body: bytes, route: str) -> T:
    try:
        return decode(body)
    except UNREADABLE as exc:
        raise _broken(f"answered {route} with a body that is not OpenAI's ({exc})") from exc


def _broken(what: str) -> UpstreamError:
    return UpstreamError(
        f"the embedding server {what}; check what serves that address", service=SERVICE
    )


def _index(item: _Item) -> int:
    return item.index
