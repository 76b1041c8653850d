"""What computes behind the contract: any encoder of texts, or a checkpoint fed with token ids."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeAlias

import numpy as np
from tokenizers import Tokenizer

from gateway.encoders.defects import Defect
from gateway.encoders.fake import WORDS, FakeEncoder
from gateway.encoders.local import LocalEncoder
from gateway.encoders.minilm import MiniLMEncoder
from gateway.modelserver.batching import Prepared
from gateway.modelserver.contract import Refusal, backend
from gateway.modelserver.replies import Rows
from gateway.modelserver.tokens import (
    Token,
    Tokenize,
    counted_tokens,
    pattern_tokens,
    real_tokens,
)
from gateway.ports import Encoder

EncodeRows: TypeAlias = Callable[[Sequence[str]], Awaitable[Rows]]
"""Texts in, raw rows out."""


class Engine(Protocol):
    """Tokens, raw vectors and token states of one model. Knows no prompt, limit or status."""

    @property
    def defects(self) -> frozenset[Defect]:
        """The ways in which it can compute wrongly on purpose."""
        ...

    @property
    def has_states(self) -> bool: ...

    @property
    def embeds(self) -> bool:
        """Whether it makes vectors at all."""
        ...

    async def tokenize(self, texts: Sequence[str], *, specials: bool) -> list[list[Token]]: ...

    async def decode(self, ids: Sequence[int], *, skip_specials: bool) -> str: ...

    async def pooled(
        self, batch: Sequence[Prepared], *, defect: Defect | None = None, seed: int = 0
    ) -> Rows:
        """Rows before any cut or normalisation, float32."""
        ...

    async def states(self, batch: Sequence[Prepared]) -> list[Rows]:
        """One row per token of each input, before pooling."""
        ...


class Scorer(Protocol):
    """A cross-encoder: raw scores of pairs of texts."""

    @property
    def max_tokens(self) -> int: ...

    async def counts(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """Tokens of each pair, special tokens included, uncut."""
        ...

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> Rows:
        """One forward pass, shape (n,), float32; a pair over `max_tokens` is cut."""
        ...


class TextEngine:
    """Over anything that encodes texts."""

    defects: frozenset[Defect] = frozenset()
    has_states = False
    embeds = True

    def __init__(
        self, encode: EncodeRows, tokenize: Tokenize, tokenizer: Tokenizer | None = None
    ) -> None:
        """Take over parts; `tokenizer` decodes ids, without one they are refused."""
        self._encode: Final = encode
        self._tokenize: Final = tokenize
        self._tokenizer: Final = tokenizer

    async def tokenize(self, texts: Sequence[str], *, specials: bool) -> list[list[Token]]:
        return await self._tokenize(texts, specials)

    async def decode(self, ids: Sequence[int], *, skip_specials: bool) -> str:
        if self._tokenizer is None:
            text = "tokenizer error this encoder has no vocabulary: its token ids mean nothing"
            raise Refusal("Tokenizer", text, "tokenization")
        return _decoded(self._tokenizer, ids, skip_specials=skip_specials)

    async def pooled(
        self,
        batch: Sequence[Prepared],
        *,
        defect: Defect | None = None,  # noqa: ARG002
        seed: int = 0,  # noqa: ARG002
    ) -> Rows:
        return await self._encode([prepared.text for prepared in batch])

    async def states(self, batch: Sequence[Prepared]) -> list[Rows]:
        raise backend(f"no token states of {len(batch)} inputs: this encoder has none")


class CheckpointEngine:
    """Over the modules of a sentence-transformers checkpoint, Normalize left out."""

    has_states = True
    embeds = True

    def __init__(self, encoder: LocalEncoder) -> None:
        self._encoder: Final = encoder
        self._tokenize: Final = real_tokens(encoder.tokenizer)

    @property
    def defects(self) -> frozenset[Defect]:
        return self._encoder.defects

    async def tokenize(self, texts: Sequence[str], *, specials: bool) -> list[list[Token]]:
        return await self._tokenize(texts, specials)

    async def decode(self, ids: Sequence[int], *, skip_specials: bool) -> str:
        return _decoded(self._encoder.tokenizer, ids, skip_specials=skip_specials)

    async def pooled(
        self, batch: Sequence[Prepared], *, defect: Defect | None = None, seed: int = 0
    ) -> Rows:
        ids = [prepared.ids for prepared in batch]
        return await self._encoder.pooled(ids, defect=defect, seed=seed)

    async def states(self, batch: Sequence[Prepared]) -> list[Rows]:
        return await self._encoder.token_states([prepared.ids for prepared in batch])


class PairEngine:
    """Beside a cross-encoder that serves alone: its tokens, and no vectors."""

    defects: frozenset[Defect] = frozenset()
    has_states = False
    embeds = False

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer: Final = tokenizer
        self._tokenize: Final = real_tokens(tokenizer)

    async def tokenize(self, texts: Sequence[str], *, specials: bool) -> list[list[Token]]:
        return await self._tokenize(texts, specials)

    async def decode(self, ids: Sequence[int], *, skip_specials: bool) -> str:
        return _decoded(self._tokenizer, ids, skip_specials=skip_specials)

    async def pooled(
        self,
        batch: Sequence[Prepared],  # noqa: ARG002
        *,
        defect: Defect | None = None,  # noqa: ARG002
        seed: int = 0,  # noqa: ARG002
    ) -> Rows:
        raise no_embedding_model()

    async def states(self, batch: Sequence[Prepared]) -> list[Rows]:  # noqa: ARG002
        raise no_embedding_model()


def no_embedding_model() -> Refusal:
    return backend("Model is not an embedding model", "model_type")


def engine_over(encoder: Encoder, tokenizer: Tokenizer | None = None) -> Engine:
    """An engine over one of our encoders; `tokenizer` gives real tokens instead of its own."""
    if isinstance(encoder, LocalEncoder) and tokenizer is None:
        return CheckpointEngine(encoder)
    if tokenizer is None and isinstance(encoder, LocalEncoder | MiniLMEncoder):
        tokenizer = encoder.tokenizer
    if tokenizer is not None:
        return TextEngine(rows_of(encoder), real_tokens(tokenizer), tokenizer)
    exact = type(encoder) is FakeEncoder  # one that counts otherwise is asked for its counts
    return TextEngine(rows_of(encoder), pattern_tokens(WORDS) if exact else counted_tokens(encoder))


def rows_of(encoder: Encoder) -> EncodeRows:
    """The vectors of an encoder, one call per batch."""

    async def encode(texts: Sequence[str]) -> Rows:
        return (await encoder.encode(texts)).vectors

    return encode


def normalised(rows: Rows) -> Rows:
    """Unit rows, squares summed in float64 and scaled in float32; zeros become NaN, as TEI's do."""
    with np.errstate(invalid="ignore", divide="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        return rows * (1.0 / norms).astype(np.float32)[:, None]


def _decoded(tokenizer: Tokenizer, ids: Sequence[int], *, skip_specials: bool) -> str:
    try:
        return tokenizer.decode(list(ids), skip_special_tokens=skip_specials)
    except (OverflowError, ValueError) as exc:
        raise Refusal("Tokenizer", f"tokenizer error {exc}", "tokenization") from exc
