"""What the gateway needs from outside. Read this first: adapters below implement these, nothing else.

Conventions: everything is async unless named otherwise; every error is one of `gateway.errors`;
vectors are float32 numpy arrays; a port never sees a prompt name, a task or a target size.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from gateway.domain.collections import CollectionInfo, CollectionSpec, StoredForm
from gateway.domain.documents import EmbeddedChunk, StoredChunk
from gateway.domain.lexical import Lexical
from gateway.domain.search import Filter, Hit, StoreQuery
from gateway.domain.vectors import Matrix
from gateway.errors import GatewayError


class Lane(StrEnum):
    """Who waits for an encoding: somebody (`QUERY`, served first) or a pipeline (`INGEST`)."""

    QUERY = "query"
    INGEST = "ingest"


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """What an encoder says of itself.

    `kind` is its source (tei, local, minilm, fake), `model_id` what it serves, `size` the length of
    its full vectors, `max_tokens` the longest input including special tokens, `variant` a mark that
    makes a space of its own ("" for the real model, "fake" for made-up vectors), `quantization` the
    kind of quantised weights, another space too ("" for full precision, "int8", "q8_0"),
    `weights_sha256` the digest of the weights where the encoder knows it, `languages` the ISO 639-1 codes it is fit for (empty: many), `details` small facts for `/info`.
    """

    kind: str
    model_id: str
    size: int
    max_tokens: int
    dtype: str = "float32"
    variant: str = ""
    quantization: str = ""
    weights_sha256: str = ""
    languages: tuple[str, ...] = ()
    details: tuple[tuple[str, str], ...] = ()

    @property
    def known_dtype(self) -> str:
        """`dtype`; "" where it is assumed, for OpenAI's protocol tells none."""
        return "" if self.kind == "openai" else self.dtype


@dataclass(frozen=True, slots=True)
class Encoding:
    """Raw vectors, shape (n, full size), in the order of the texts, and the tokens read in all.

    One bad text does not cost the others: `refused` maps the index of each input that could not be
    encoded to the reason, and its row of `rows` is NaN. `tokens` are those of the encoded texts.
    `counts` are the tokens of each text where the encoder knows them: 0 for a refused one, `tokens`
    in sum.
    """

    rows: Matrix
    tokens: int
    refused: Mapping[int, GatewayError] = field(default_factory=dict[int, GatewayError])
    counts: Sequence[int] | None = None

    @property
    def vectors(self) -> Matrix:
        """All rows; raises the error of the first refused input when there is one."""
        if self.refused:
            raise self.refused[min(self.refused)]
        return self.rows


@dataclass(frozen=True, slots=True)
class Health:
    """One dependency as `/readyz` reports it; `detail` holds no secret."""

    name: str
    ok: bool
    detail: str = ""


class Encoder(Protocol):
    """Final strings in, raw vectors out. Knows no prompt, task or target size.

    Texts are encoded as they are: no prefix, no strip, no truncation. An input over `max_tokens` is
    refused (`InputTooLong`), never cut.
    """

    @property
    def info(self) -> EncoderInfo: ...

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        """Encode texts. `lane` says who waits; an encoder without a queue ignores it.

        An input that cannot be encoded (`InputTooLong`, `InvalidText`, `DegenerateVector`, ...) is
        named in `Encoding.refused`; the rest is encoded.

        Raises:
            UpstreamError: the model's server failed after bounded retries.
        """
        ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Exact model tokens of each text, special tokens included."""
        ...

    async def cut(self, text: str, tokens: int) -> str:
        """Return the longest beginning of a text that has at most so many tokens, specials included.

        It ends where a token of the whole text ends, between two characters, and is empty where
        nothing fits. A text that fits comes back as it is.
        """
        ...

    def token_counter(self) -> Callable[[str], int]:
        """Return a *blocking* exact counter like `count_tokens`, for use in worker threads only.

        It must not be called on the event loop's thread: it may wait for a server.
        """
        ...

    async def health(self) -> Health: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RerankerInfo:
    """What a reranker says of itself: its source, the model it serves, the form of its scores.

    `raw` scores are the model's own numbers; others are probabilities, 0 to 1.
    """

    kind: str
    model_id: str
    raw: bool = False

    @property
    def scale(self) -> str:
        """What scores can be compared with: those of the same model in the same form."""
        return f"{self.model_id} (raw)" if self.raw else self.model_id


class Reranker(Protocol):
    """Scores texts against a query by reading both together: a cross-encoder.

    A text longer than the model reads is cut at its end; nothing else of it is changed.
    """

    @property
    def info(self) -> RerankerInfo: ...

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return the score of each text, in the order of the texts; higher is more relevant.

        Raises:
            InvalidRequest: the server refuses an input.
            UpstreamError: the model's server failed after bounded retries.
        """
        ...

    async def health(self) -> Health: ...

    async def aclose(self) -> None: ...


class Generator(Protocol):
    """A language model that answers a request in words."""

    @property
    def model_id(self) -> str: ...

    async def complete(self, request: str) -> str:
        """Return the model's answer to one request; empty where it had no word to say.

        Raises:
            UpstreamError: the model's server failed after bounded retries.
        """
        ...

    async def aclose(self) -> None: ...


class VectorStore(Protocol):
    """Collections of embedded chunks. Every write returns only when it survives `kill -9`.

    Names are checked by `CollectionSpec`; vectors are checked by the store before the engine sees
    them (`domain.vectors.require_unit`), all of a call or nothing. Calls on a missing collection
    raise `CollectionNotFound`; failures of the engine are `UpstreamError`s.
    """

    async def ensure(self, spec: CollectionSpec) -> CollectionSpec:
        """Create the collection, or open it and return the stored spec.

        Raises:
            SpaceMismatch, CollectionMismatch: it exists and `spec` may not use it.
        """
        ...

    async def spec(self, name: str) -> CollectionSpec:
        """Return the stored spec: the cheap look that every search and write begins with."""
        ...

    async def describe(self, name: str) -> CollectionInfo: ...

    async def list_collections(self) -> list[CollectionInfo]:
        """All collections written by a gateway, by name; others in the same server are left out."""
        ...

    async def inspect(self, name: str) -> StoredForm:
        """Ask the engine itself what form a collection has: somebody else may have made or changed it."""
        ...

    async def mend_indexes(self, name: str) -> list[str]:
        """Create the payload indexes that a collection lacks; returns their fields. Points stay."""
        ...

    async def amend(self, spec: CollectionSpec) -> CollectionSpec:
        """Keep the tuning and the calibrations of `spec` with its collection; returns the stored spec.

        The engine takes on another quantisation in its own time; until then it searches as before.

        Raises:
            SpaceMismatch, CollectionMismatch: anything else of it is not as stored.
        """
        ...

    async def optimize(self, name: str) -> bool:
        """Bring the index and the quantised copies up to date with the spec, and wait for it.

        Returns whether the collection has an index: a small one is searched exactly.
        """
        ...

    async def drop(self, name: str) -> None: ...

    async def upsert(self, name: str, chunks: Sequence[EmbeddedChunk]) -> None:
        """Write chunks under their derived ids; the same id replaces the whole point."""
        ...

    async def delete(self, name: str, where: Filter) -> None:
        """Delete every chunk that matches; none matching is no error."""
        ...

    async def get(
        self, name: str, ids: Sequence[UUID], *, with_vectors: bool = False
    ) -> list[StoredChunk]:
        """Return those of `ids` that exist, in the order asked."""
        ...

    def scroll(
        self, name: str, where: Filter | None = None, *, with_vectors: bool = False
    ) -> AsyncIterator[StoredChunk]:
        """All matching chunks in order of id, fetched in pages."""
        ...

    async def count(self, name: str, where: Filter | None = None) -> int:
        """Exact number of matching chunks."""
        ...

    async def query(self, name: str, query: StoreQuery) -> list[Hit]:
        """Best chunks in one round trip: highest score first, ties by id (`domain.order.ranked`).

        Hits of a `HybridQuery` carry what its dense and its lexical half thought of them.

        Raises:
            InvalidRequest: words where none are indexed, a coarse pass without short vectors.
        """
        ...

    def has_words(self, lexical: Lexical, text: str) -> bool:
        """Say whether a query's text has a word that a search by words looks for: stop words are none.

        It asks no engine and costs microseconds; it is no coroutine.
        """
        ...

    async def health(self) -> Health: ...

    async def aclose(self) -> None:
        """Flush what the engine holds back, and close. Calling it twice is no error."""
        ...
