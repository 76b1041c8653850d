"""TEI's JSON: bodies we send and answers we read.

Contract of text-embeddings-inference 1.8.1 to 1.9.3 (router/src/http/types.rs).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec
import numpy as np
import pybase64
from numpy.typing import NDArray

from gateway.domain.vectors import Matrix
from gateway.errors import InvalidText
from gateway.tei.refusals import SERVICE, UNREADABLE, BrokenAnswer

T = TypeVar("T")


class Info(msgspec.Struct, frozen=True):
    """`GET /info`: the limits and the model of a running server. It tells no vector size."""

    model_id: str
    model_dtype: str
    version: str
    max_concurrent_requests: int
    max_input_length: int
    max_client_batch_size: int
    model_type: dict[str, msgspec.Raw] | str
    auto_truncate: bool = False
    max_batch_tokens: int | None = None
    max_batch_requests: int | None = None
    model_sha: str | None = None

    @property
    def embeds(self) -> bool:
        """Whether it serves an embedding model, not a classifier or a reranker."""
        return "embedding" in self.model_type

    @property
    def reranks(self) -> bool:
        """Whether it serves a cross-encoder with one score."""
        return "reranker" in self.model_type

    @property
    def kind(self) -> str:
        """What it calls the kind of its model: embedding, classifier or reranker."""
        return self.model_type if isinstance(self.model_type, str) else ", ".join(self.model_type)


class _Item(msgspec.Struct):
    embedding: str
    index: int


class _Rank(msgspec.Struct):
    index: int
    score: float | None


class _Usage(msgspec.Struct):
    prompt_tokens: int


class _Embeddings(msgspec.Struct):
    data: list[_Item]
    usage: _Usage


class Token(msgspec.Struct, frozen=True, gc=False):
    """One token of `/tokenize`; `start` and `stop` are byte offsets, None for special tokens."""

    id: int
    start: int | None = None
    stop: int | None = None


NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_encode_text: Final = msgspec.json.Encoder().encode
_read_info: Final = msgspec.json.Decoder(Info).decode
_read_embeddings: Final = msgspec.json.Decoder(_Embeddings).decode
_read_ranks: Final = msgspec.json.Decoder(list[_Rank]).decode
_read_rows: Final = msgspec.json.Decoder(list[list[float | None]]).decode
_read_tokens: Final = msgspec.json.Decoder(list[list[Token]]).decode


def text_json(text: str, index: int) -> bytes:
    """Return a text as JSON.

    Raises:
        InvalidText: it has a lone surrogate, which no JSON body can carry.
    """
    try:
        return _encode_text(text)
    except UnicodeEncodeError as exc:
        raise InvalidText(
            f"input {index} has a lone surrogate at character {exc.start}: mend its encoding",
            index=index,
            field="text",
        ) from exc


def openai_body(texts: Iterable[bytes]) -> bytes:
    """Body of `POST /v1/embeddings` for texts already in JSON."""
    return b'{"input":[' + b",".join(texts) + b'],"encoding_format":"base64"}'


def native_body(texts: Iterable[bytes]) -> bytes:
    """Body of `POST /embed`: flags whose defaults differ between versions are always said."""
    return b'{"inputs":[' + b",".join(texts) + b'],"truncate":false,"normalize":true}'


def tokenize_body(texts: Iterable[bytes], *, add_special_tokens: bool) -> bytes:
    """Body of `POST /tokenize` for texts already in JSON."""
    flag = b"true" if add_special_tokens else b"false"
    return b'{"inputs":[' + b",".join(texts) + b'],"add_special_tokens":' + flag + b"}"


def rerank_body(query: bytes, texts: Iterable[bytes], *, raw: bool) -> bytes:
    """Body of `POST /rerank` for a query and texts already in JSON.

    A pair over the model's limit is cut at its end, whatever the server does by default: a passage
    that is read in part still ranks, and nothing that is stored depends on it.
    """
    flag = b"true" if raw else b"false"
    joined = b",".join(texts)
    return b'{"query":%b,"texts":[%b],"raw_scores":%b,"truncate":true}' % (query, joined, flag)


def decode_info(body: bytes) -> Info:
    """Read `/info`, or raise `BrokenAnswer` where it is not TEI's."""
    return _decode(_read_info, body, "/info")


def decode_openai(
    body: bytes, count: int, _headers: Mapping[str, str] = NO_HEADERS
) -> tuple[Matrix, int]:
    """Read `/v1/embeddings`: rows in the order of the inputs, shape (count, size), and the tokens.

    Rows are as the server sent them, bit for bit: NaN and zeros pass.

    Raises:
        BrokenAnswer: not `count` vectors of one length, each index once.
    """
    answer = _decode(_read_embeddings, body, "/v1/embeddings")
    data = answer.data
    if [item.index for item in data] != list(range(count)):
        data = sorted(data, key=_index)
        if [item.index for item in data] != list(range(count)):
            raise _broken(f"answered {len(data)} vectors with wrong indexes for {count} inputs")
    width = len(data[0].embedding)
    if width == 0 or any(len(item.embedding) != width for item in data):
        raise _broken("answered vectors of different lengths")
    try:
        numbers = _numbers([item.embedding for item in data])
    except ValueError as exc:
        raise _broken("answered a vector that is not base64 of float32") from exc
    return numbers.reshape(count, -1), answer.usage.prompt_tokens


def _numbers(encoded: Sequence[str]) -> NDArray[np.float32]:
    """Decode vectors of one length, in one piece where no padding stands between them.

    Raises:
        ValueError: not base64, or not of whole numbers.
    """
    padding = encoded[0].count("=")
    if (len(encoded[0]) * 3 // 4 - padding) % 4:
        raise ValueError("not a whole number of float32")
    if padding:
        joined = bytearray().join([pybase64.b64decode(one, validate=True) for one in encoded])
    else:
        joined = pybase64.b64decode_as_bytearray("".join(encoded), validate=True)
    return np.frombuffer(joined, "<f4").astype(np.float32, copy=False)


def decode_native(body: bytes, count: int, headers: Mapping[str, str]) -> tuple[Matrix, int]:
    """Read `/embed`, as `decode_openai`; `null` becomes NaN; the tokens come from a header."""
    rows = _decode(_read_rows, body, "/embed")
    if len(rows) != count or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise _broken(f"answered {len(rows)} vectors or broken lengths for {count} inputs")
    tokens = headers.get("x-compute-tokens", "")
    return np.array(rows, np.float32), int(tokens) if tokens.isdecimal() else 0


def decode_tokens(body: bytes, count: int) -> list[list[Token]]:
    """Read `/tokenize`: the tokens of each input."""
    rows = _decode(_read_tokens, body, "/tokenize")
    if len(rows) != count:
        raise _broken(f"tokenised {len(rows)} texts of {count}")
    return rows


def decode_ranks(body: bytes, count: int) -> list[float]:
    """Read `/rerank`: the score of each text, in the order of the texts.

    Raises:
        BrokenAnswer: not one number for each of `count` texts.
    """
    ranks = _decode(_read_ranks, body, "/rerank")
    scores = {rank.index: rank.score for rank in ranks if rank.score is not None}
    if len(ranks) != count or scores.keys() != set(range(count)):
        raise _broken(f"answered {len(ranks)} ranks, or some without a number, for {count} texts")
    return [scores[place] for place in range(count)]


def _decode(decode: Callable[[bytes], T], body: bytes, route: str) -> T:
    try:
        return decode(body)
    except UNREADABLE as exc:
        raise _broken(f"answered {route} with a body that is not TEI's ({exc})") from exc


def _broken(what: str) -> BrokenAnswer:
    return BrokenAnswer(f"the TEI server {what}; check what serves that address", service=SERVICE)


def _index(item: _Item) -> int:
    return item.index
