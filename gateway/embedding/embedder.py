"""Policy: how our text becomes our vector. The one place that adds prompts, cuts and renormalises."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from gateway.domain.vectors import Matrix, directionless, require_form, shorten_each
from gateway.embedding.fingerprint import space_of
from gateway.embedding.limit import TokenLimit
from gateway.embedding.profile import ModelProfile, Task
from gateway.embedding.refusals import Refusals, renamed
from gateway.embedding.results import Embeddings, Truncation
from gateway.embedding.texts import Input, require_text
from gateway.errors import ConfigurationError, DegenerateVector, GatewayError, InvalidRequest
from gateway.events import Embedded, Sink, Truncated, discard
from gateway.ports import Encoder, Encoding, Lane

QUERY_INPUTS: Final = 32
"""A longer list of texts is no longer somebody's query: it goes into the lane of the ingest."""


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
        self.space: Final = space_of(profile, info)
        self.max_tokens: Final = min(profile.max_tokens, info.max_tokens)
        self._limit = TokenLimit(encoder, profile.name, self.max_tokens)
        self._window = window
        self._sink = sink

    async def embed(  # noqa: PLR0913  each is a choice of the caller, given by name
        self,
        task: str,
        inputs: Sequence[Input],
        *,
        size: int | None = None,
        allow_prompted: bool = False,
        truncate: bool = False,
        partial: bool = False,
        lane: Lane | None = None,
    ) -> Embeddings:
        """Embed inputs for a task at `size` (the profile's default when None).

        `allow_prompted` says that texts which begin with a prompt are meant as they are. A text over
        the model's limit is an error, or loses its end with `truncate`, which the result reports.
        `partial` answers with what could be embedded and the reasons of what could not, instead of
        raising the first of them. `lane` is the ingest's for documents and for long lists unless it
        is given.

        Raises:
            UnknownTask, UnsupportedSize: whatever the inputs are.
            InvalidText, DoublePrompt, InputTooLong: by input index and field.
            InvalidRequest: a title where none is taken, by input index.
            DegenerateVector: by input index; without one, all vectors have the wrong form.
            UpstreamError: the encoder failed.
        """
        started = time.perf_counter()
        self.profile.prompt(task)
        size = self.profile.require_size(self.profile.default_size if size is None else size)
        refusals = Refusals(partial=partial)
        texts = self._rendered(task, inputs, allow_prompted, refusals)
        truncated = await self._limit.fit(texts, inputs, refusals, truncate=truncate)
        rows = np.full((len(inputs), size), np.nan, np.float32)
        tokens = 0
        lane = self._lane(task, len(inputs)) if lane is None else lane
        indexes = list(texts)
        for start in range(0, len(indexes), self._window):
            window = {index: texts[index] for index in indexes[start : start + self._window]}
            tokens += await self._fill(rows, window, lane, refusals)
        self._tell(task, len(inputs) - len(refusals.errors), tokens, truncated, started)
        return Embeddings(rows, tokens, refusals.errors, truncated)

    async def embed_one(
        self,
        task: str,
        text: str,
        *,
        size: int | None = None,
        allow_prompted: bool = False,
        truncate: bool = False,
    ) -> Embeddings:
        """Embed one text; `vectors` has one row."""
        return await self.embed(
            task, [Input(text)], size=size, allow_prompted=allow_prompted, truncate=truncate
        )

    def require_inputs(
        self, task: str, inputs: Sequence[Input], *, allow_prompted: bool = False
    ) -> None:
        """Check inputs as `embed` would, without embedding them.

        Raises:
            UnknownTask, InvalidText, DoublePrompt, InvalidRequest: as `embed`, but for lengths.
        """
        self._rendered(task, inputs, allow_prompted, Refusals(partial=False))

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

    def _rendered(
        self, task: str, inputs: Sequence[Input], allow_prompted: bool, refusals: Refusals
    ) -> dict[int, str]:
        """Return the final strings of the inputs that are sound, by index."""
        texts: dict[int, str] = {}
        for index, item in enumerate(inputs):
            try:
                texts[index] = self._render(task, item, index, allow_prompted)
            except InvalidRequest as exc:
                exc.index = index
                refusals.add(index, exc)
        return texts

    def _render(self, task: str, item: Input, index: int, allow_prompted: bool) -> str:
        require_text(item.text, index=index)
        if item.title is not None:
            require_text(item.title, index=index, field="title")
        if not allow_prompted:
            self.profile.refuse_prompted(item.text, item.title, index=index)
        return self.profile.render(task, item.text, item.title)

    async def _fill(
        self, rows: Matrix, texts: dict[int, str], lane: Lane, refusals: Refusals
    ) -> int:
        """Encode a window, put its vectors into their rows, and return the tokens read."""
        encoding = await refusals.sparing(texts, lambda some: self.encoder.encode(some, lane=lane))
        if encoding is None:
            return 0
        indexes = list(texts)
        cut, refused = self._finish(encoding, indexes, rows.shape[1])
        for place in sorted(refused):
            refusals.add(indexes[place], refused[place])
            cut[place] = np.nan
        rows[indexes] = cut
        return encoding.tokens

    def _finish(
        self, encoding: Encoding, indexes: Sequence[int], size: int
    ) -> tuple[Matrix, dict[int, GatewayError]]:
        """Check and shorten raw rows; those that cannot be used are named by their place."""
        full = self.profile.full_size
        try:
            raw = require_form(encoding.rows, count=len(indexes), size=full)
        except DegenerateVector as exc:
            raise DegenerateVector(f"encoder {self.encoder.info.kind!r}: {exc}") from exc
        cut, without = shorten_each(raw, size)
        refused = {place: self._flat(indexes[place], size) for place in without}
        refused |= {place: self._flat(indexes[place], full) for place in directionless(raw)}
        told = {place: renamed(exc, indexes[place]) for place, exc in encoding.refused.items()}
        return cut, refused | told

    def _flat(self, index: int, size: int) -> GatewayError:
        return DegenerateVector(
            f"input {index}: encoder {self.encoder.info.kind!r} answered a vector that has no "
            f"direction at size {size} (NaN, infinity or zeros): check its dtype and device",
            index=index,
        )

    def _tell(
        self,
        task: str,
        inputs: int,
        tokens: int,
        truncated: Sequence[Truncation],
        started: float,
    ) -> None:
        self._sink(Embedded(task, inputs, tokens, time.perf_counter() - started))
        if truncated:
            self._sink(Truncated(task, len(truncated), sum(each.lost for each in truncated)))
