"""TEI's HTTP contract, versions 1.8.1 to 1.9.3, over any encoder: what is computed, not how served.

Source: text-embeddings-inference router/src/http/server.rs, router/src/lib.rs and
core/src/tokenization.rs at those tags. Texts of errors are the server's own, to the letter.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from gateway.ports import Encoder

Rows: TypeAlias = NDArray[np.float32]
EncodeRows: TypeAlias = Callable[[Sequence[str]], Awaitable[Rows]]
EMBEDDING = {"embedding": {"pooling": "mean"}}
CHARS_PER_TOKEN = 250
"""TEI refuses more characters than this times `max_input_length` before it tokenises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One server as `/info` describes it, and the secrets and limits that it does not tell."""

    version: str = "1.9.3"
    model_id: str = "google/embeddinggemma-300m"
    model_dtype: str = "float32"
    model_type: Mapping[str, Any] = field(default_factory=lambda: EMBEDDING)
    max_client_batch_size: int = 32
    max_concurrent_requests: int = 512
    max_input_length: int = 2048
    max_batch_tokens: int = 16384
    max_batch_requests: int | None = None
    auto_truncate: bool = False
    api_key: str | None = None
    payload_limit: int = 2_000_000

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(int(part) for part in self.version.split("."))

    def info(self) -> dict[str, Any]:
        named = {"served_model_name": self.model_id} if self.release >= (1, 9, 0) else {}
        return named | {
            "model_id": self.model_id,
            "model_sha": None,
            "model_dtype": self.model_dtype,
            "model_type": self.model_type,
            "max_concurrent_requests": self.max_concurrent_requests,
            "max_input_length": self.max_input_length,
            "max_batch_tokens": self.max_batch_tokens,
            "max_batch_requests": self.max_batch_requests,
            "max_client_batch_size": self.max_client_batch_size,
            "auto_truncate": self.auto_truncate,
            "tokenization_workers": 1,
            "version": self.version,
            "sha": None,
            "docker_label": None,
        }

    def status(self, error_type: str) -> int:
        """HTTP status of an error type: the versions disagree on two of them."""
        if error_type == "Validation":
            return 422 if self.release >= (1, 9, 0) else 413
        if error_type == "Empty":
            return 400 if self.release >= (1, 8, 3) else 413
        return {"Unhealthy": 503, "Backend": 424, "Overloaded": 429, "Tokenizer": 422}[error_type]


class Refusal(Exception):
    """TEI's error enum: one of six types and a text."""

    def __init__(self, error_type: str, text: str) -> None:
        super().__init__(text)
        self.error_type = error_type


class Permits:
    """One permit per input. From 1.9.0 nothing waits; before, batches waited without bound."""

    def __init__(self, contract: Contract) -> None:
        self._limit = contract.max_concurrent_requests
        self._batches_wait = contract.release < (1, 9, 0)
        self._changed = asyncio.Condition()
        self.taken = 0
        self.most_taken = 0

    async def acquire(self, count: int) -> None:
        async with self._changed:
            if self.taken + count > self._limit:
                if count == 1 or not self._batches_wait:
                    raise Refusal("Overloaded", "Model is overloaded")
                await self._changed.wait_for(lambda: self.taken + count <= self._limit)
            self.taken += count
            self.most_taken = max(self.most_taken, self.taken)

    async def release(self, count: int) -> None:
        async with self._changed:
            self.taken -= count
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Token:
    """One item of `/tokenize`; `start` and `stop` are byte offsets, None for special tokens."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class Tokenize(Protocol):
    async def __call__(self, texts: Sequence[str], specials: bool) -> list[list[Token]]: ...


async def word_tokens(texts: Sequence[str], specials: bool) -> list[list[Token]]:
    """A token per run of non-blanks, between a BOS and an EOS."""
    return [_framed(_words(text), specials) for text in texts]


def real_tokens(tokenizer: Tokenizer) -> Tokenize:
    """Tokens of a real tokenizer."""

    async def tokenize(texts: Sequence[str], specials: bool) -> list[list[Token]]:
        encodings = tokenizer.encode_batch(list(texts), add_special_tokens=specials)
        return [_tokens(text, one) for text, one in zip(texts, encodings, strict=True)]

    return tokenize


def counted_tokens(encoder: Encoder) -> Tokenize:
    """As many tokens as an encoder counts, each standing for an equal share of the bytes."""

    async def tokenize(texts: Sequence[str], specials: bool) -> list[list[Token]]:
        counts = await encoder.count_tokens(texts)
        return [
            _framed(_shares(text, max(0, count - 2)), specials)
            for text, count in zip(texts, counts, strict=True)
        ]

    return tokenize


async def hashed_rows(texts: Sequence[str], size: int = 768) -> Rows:
    """A random direction per text, the same in every process."""
    rows = np.empty((len(texts), size), np.float32)
    for row, text in zip(rows, texts, strict=True):
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        source = np.random.default_rng(int.from_bytes(digest, "little"))
        row[:] = source.standard_normal(size, np.float32)
    return rows


def rows_of(encoder: Encoder) -> EncodeRows:
    async def encode(texts: Sequence[str]) -> Rows:
        return (await encoder.encode(texts)).vectors

    return encode


class Model:
    """Tokenise, limit, encode: the work of a request between its permits."""

    def __init__(self, contract: Contract, encode: EncodeRows, tokenize: Tokenize) -> None:
        self.contract = contract
        self.tokenize = tokenize
        self._encode = encode

    def require_batch(self, count: int) -> None:
        limit = self.contract.max_client_batch_size
        if count == 0:
            raise Refusal("Empty", "Input validation error: `inputs` cannot be empty")
        if count > limit:
            text = f"batch size {count} > maximum allowed batch size {limit}"
            raise Refusal("Validation", text)

    async def embed(
        self, texts: Sequence[str], *, truncate: bool, normalize: bool, dimensions: int | None
    ) -> tuple[Rows, int]:
        """Return rows as TEI makes them (cut, then normalised) and the tokens read."""
        kept, tokens = await self._fit(texts, truncate)
        rows = await self._encode(kept)
        if dimensions is not None:
            if not 0 < dimensions <= rows.shape[1]:
                raise Refusal("Validation", "Input validation error: `dimensions` is out of range")
            rows = rows[:, :dimensions]
        if normalize:
            with np.errstate(invalid="ignore", divide="ignore"):
                norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
                rows = rows * (1.0 / norms).astype(np.float32)
        return np.ascontiguousarray(rows, np.float32), tokens

    async def _fit(self, texts: Sequence[str], truncate: bool) -> tuple[list[str], int]:
        limit = self.contract.max_input_length
        if not all(texts):
            raise Refusal("Empty", "Input validation error: `inputs` cannot be empty")
        if not truncate and (most := max(map(len, texts))) > limit * CHARS_PER_TOKEN:
            raise Refusal(
                "Validation",
                f"Input validation error: `inputs` must have less than {limit * CHARS_PER_TOKEN} "
                f"characters. Given: {most}",
            )
        kept: list[str] = []
        total = 0
        for text, tokens in zip(texts, await self.tokenize(texts, True), strict=True):
            if len(tokens) > limit and not truncate:
                raise Refusal(
                    "Validation",
                    f"Input validation error: `inputs` must have less than {limit} tokens. "
                    f"Given: {len(tokens)}",
                )
            total += min(limit, len(tokens))
            kept.append(_cut(text, tokens, limit) if len(tokens) > limit else text)
        return kept, total


def _tokens(text: str, encoding: Encoding) -> list[Token]:
    at = list(accumulate((len(char.encode()) for char in text), initial=0))
    parts = zip(
        encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True
    )
    return [
        Token(id_, word, True, None, None)
        if special
        else Token(id_, word, False, at[start], at[stop])
        for id_, word, special, (start, stop) in parts
    ]


def _cut(text: str, tokens: Sequence[Token], limit: int) -> str:
    stops = [token.stop for token in tokens[: limit - 1] if token.stop is not None]
    return text.encode()[: stops[-1] if stops else 0].decode(errors="ignore")


def _framed(tokens: list[Token], specials: bool) -> list[Token]:
    if not specials:
        return tokens
    return [Token(2, "<bos>", True, None, None), *tokens, Token(1, "<eos>", True, None, None)]


def _words(text: str) -> list[Token]:
    return [
        Token(3 + index, found[0].decode(), False, found.start(), found.end())
        for index, found in enumerate(re.finditer(rb"\S+", text.encode()))
    ]


def _shares(text: str, count: int) -> list[Token]:
    size = len(text.encode())
    edges = [size * place // count for place in range(count + 1)] if count else []
    return [
        Token(3 + index, "", False, start, stop)
        for index, (start, stop) in enumerate(pairwise(edges))
    ]
