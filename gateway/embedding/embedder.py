"""Policy: how our text becomes our vector. The one place that adds prompts, cuts and renormalises."""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.domain.tokens import may_exceed
from gateway.domain.vectors import Matrix, require_raw, shorten
from gateway.embedding.profile import ModelProfile, Task
from gateway.errors import (
    ConfigurationError,
    DegenerateVector,
    InputTooLong,
    InvalidRequest,
    InvalidText,
)
from gateway.events import Embedded, Sink, discard
from gateway.ports import Encoder, Lane

QUERY_INPUTS: Final = 32
"""A longer list of texts is no longer somebody's query: it goes into the lane of the ingest."""


@dataclass(frozen=True, slots=True)
class Input:
    """A text to embed, with the title of the document it comes from, both kept as they are."""

    text: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Unit float32 vectors, shape (n, size), in the order of the inputs, and the tokens read."""

    vectors: Matrix
    tokens: int


class Embedder:
    """A profile and an encoder that serves it: our text in, vectors of one space out."""

    def __init__(
        self, profile: ModelProfile, encoder: Encoder, *, window: int = 256, sink: Sink = discard
    ) -> None:
        """Join a profile and an encoder; `window` is how many inputs are encoded at once.

        Raises:
            ConfigurationError: the encoder cannot serve the profile (kind or size).
            UnsupportedDtype: its dtype is not allowed.
        """
        info = encoder.info
        profile.require_encoder(info.kind)
        profile.require_dtype(info.dtype)
        if info.size != profile.full_size:
            raise ConfigurationError(
                f"encoder {info.kind!r} makes vectors of size {info.size}, but model "
                f"{profile.name!r} has {profile.full_size}: another model is being served, or its "
                "Dense layers are missing"
            )
        self.profile: Final = profile
        self.encoder: Final = encoder
        self.space: Final = profile.fingerprint(info.variant)
        self.max_tokens: Final = min(profile.max_tokens, info.max_tokens)
        self._window = window
        self._sink = sink

    async def embed(
        self,
        task: str,
        inputs: Sequence[Input],
        *,
        size: int | None = None,
        allow_prompted: bool = False,
        lane: Lane | None = None,
    ) -> Embeddings:
        """Embed inputs for a task at `size` (the profile's default when None).

        `allow_prompted` says that texts which begin with a prompt are meant as they are. `lane` is
        the ingest's for documents and for long lists unless it is given.

        Raises:
            UnknownTask, UnsupportedSize: whatever the inputs are.
            InvalidText, DoublePrompt, InputTooLong: by input index and field.
            InvalidRequest: a title where none is taken, by input index.
            DegenerateVector, UpstreamError: the encoder failed.
        """
        started = time.perf_counter()
        profile = self.profile
        profile.prompt(task)
        size = profile.require_size(profile.default_size if size is None else size)
        rendered = [
            self._render(task, item, index, allow_prompted) for index, item in enumerate(inputs)
        ]
        await self._require_budget(rendered)
        if lane is None:
            lane = self._lane(task, len(rendered))
        rows: list[Matrix] = []
        tokens = 0
        for start in range(0, len(rendered), self._window):
            batch = rendered[start : start + self._window]
            with self._naming(range(start, start + len(batch))):
                encoding = await self.encoder.encode(batch, lane=lane)
            rows.append(self._finish(encoding.vectors, len(batch), size, start))
            tokens += encoding.tokens
        vectors = np.concatenate(rows) if rows else np.empty((0, size), np.float32)
        self._sink(Embedded(task, len(rendered), tokens, time.perf_counter() - started))
        return Embeddings(vectors, tokens)

    async def embed_one(
        self, task: str, text: str, *, size: int | None = None, allow_prompted: bool = False
    ) -> Embeddings:
        """Embed one text; `vectors` has one row."""
        return await self.embed(task, [Input(text)], size=size, allow_prompted=allow_prompted)

    def document_counter(self) -> Callable[[str, str | None], int]:
        """Return a *blocking* exact count of a document chunk's tokens: prompt, title, text, specials.

        For worker threads only, as `Encoder.token_counter`.
        """
        count = self.encoder.token_counter()
        render = self.profile.render
        return lambda text, title: count(render(Task.DOCUMENT, text, title))

    def _lane(self, task: str, count: int) -> Lane:
        """Tell who waits: somebody, for a few texts that are no documents."""
        if count > QUERY_INPUTS or self.profile.is_document(task):
            return Lane.INGEST
        return Lane.QUERY

    def _render(self, task: str, item: Input, index: int, allow_prompted: bool) -> str:
        require_text(item.text, index=index)
        if item.title is not None:
            require_text(item.title, index=index, field="title")
        if not allow_prompted:
            self.profile.refuse_prompted(item.text, item.title, index=index)
        try:
            return self.profile.render(task, item.text, item.title)
        except InvalidRequest as exc:
            exc.index = index
            raise

    async def _require_budget(self, rendered: Sequence[str]) -> None:
        """Refuse inputs over the model's limit, counting only those that could exceed it."""
        limit = self.max_tokens
        suspects = [i for i, text in enumerate(rendered) if may_exceed(len(text.encode()), limit)]
        if not suspects:
            return
        with self._naming(suspects):
            counts = await self.encoder.count_tokens([rendered[i] for i in suspects])
        for index, count in zip(suspects, counts, strict=True):
            if count > self.max_tokens:
                raise self._too_long(index, f"has {count} tokens")

    @contextmanager
    def _naming(self, indexes: Sequence[int]) -> Generator[None, None, None]:
        """Name an input that the encoder refuses by its place among all inputs, not in its batch."""
        try:
            yield
        except InputTooLong as exc:
            if exc.index is None:
                raise
            raise self._too_long(indexes[exc.index], "has too many tokens") from exc

    def _too_long(self, index: int, what: str) -> InputTooLong:
        return InputTooLong(
            f"input {index} {what} with its prompt; model {self.profile.name!r} reads "
            f"{self.max_tokens}: split the text, nothing is cut silently",
            index=index,
            field="text",
        )

    def _finish(self, vectors: Matrix, count: int, size: int, start: int) -> Matrix:
        try:
            return shorten(require_raw(vectors, count=count, size=self.profile.full_size), size)
        except DegenerateVector as exc:
            index = None if exc.index is None else start + exc.index
            raise DegenerateVector(
                f"encoder {self.encoder.info.kind!r}: {exc}", index=index
            ) from exc


def require_text(text: str, *, index: int | None = None, field: str = "text") -> str:
    """Return a text that any tokenizer and store can take, or raise `InvalidText`.

    Empty texts, NUL characters and lone surrogates are refused; nothing is rewritten.
    """
    where = "the input" if index is None else f"input {index}"
    if not text:
        left_out = "the title" if field == "title" else "the input"
        raise InvalidText(
            f"{field} of {where} is empty; send a {field} or leave {left_out} out",
            index=index,
            field=field,
        )
    if "\x00" in text:
        raise InvalidText(
            f"{field} of {where} contains a NUL character; remove it", index=index, field=field
        )
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidText(
            f"{field} of {where} has a lone surrogate at character {exc.start}; it is not Unicode "
            "text: mend its encoding",
            index=index,
            field=field,
        ) from exc
    return text
