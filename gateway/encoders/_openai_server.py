"""One server that speaks OpenAI's protocol: verified before it is believed, asked again in failure.

OpenAI's protocol tells neither the vector size nor the limits of a server, so a few texts are
embedded first: the length of their vectors and the tokens that the server counts must be those of
the configured model.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from gateway.domain.vectors import Matrix, shorten
from gateway.encoders._openai_wire import (
    EMBEDDINGS,
    MODELS,
    SERVICE,
    decode_embeddings,
    decode_models,
    embeddings_body,
)
from gateway.encoders._quantization import require_quantization
from gateway.errors import (
    ConfigurationError,
    UnsupportedServer,
    UpstreamRejected,
    UpstreamUnavailable,
)
from gateway.events import Sink
from gateway.tei.goldens import bar_of, worst_cosine
from gateway.tei.identity import Expectation
from gateway.tei.line import Line
from gateway.tei.refusals import BackendFailed, InputRejected
from gateway.tei.retry import Clock, Patience, patiently
from gateway.tei.shared import Shared
from gateway.tei.wire import text_json

T = TypeVar("T")

SAME_SPACE: Final = 0.999
"""Least cosine of a probe to its former vector: above what Q8_0 and bfloat16 change, far above what
another model or missing Dense layers leave."""
NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Probes:
    """Texts in JSON with which a server is met, and the tokens they have in all."""

    texts: Sequence[bytes]
    tokens: int


class OpenAIServer:
    """A verified server at one address."""

    def __init__(  # noqa: PLR0913  each is a setting or a part, given by name
        self,
        line: Line,
        *,
        expect: Expectation,
        probes: Probes,
        model: str | None,
        quantization: str = "",
        timeout_seconds: float,
        sink: Sink,
    ) -> None:
        """Take over a line; `model` None means the one that the server lists.

        `quantization` is the declared kind of its weights, which its name must not deny.
        """
        self.where: Final = line.where
        self.model: str | None = None
        self.counts_tokens = False
        self._line: Final = line
        self._expect: Final = expect
        self._probes: Final = probes
        self._wanted: Final = model
        self._quantization: Final = quantization
        self._timeout: Final = timeout_seconds
        self._sink: Final = sink
        self._up = False
        self._checked_connections = 0
        self._answered_at = float("-inf")
        self._space: Matrix | None = None
        self._checking: Final = Shared(self._check, SERVICE)

    async def embed(self, texts: Sequence[bytes], tokens: int) -> Matrix:
        """Embed texts in JSON that have `tokens` tokens in all: rows in order, unchecked bits.

        Raises:
            InputRejected, TooMuchAtOnce, BackendFailed: a text, or the request as a whole.
            UnsupportedServer, ConfigurationError: it is not the expected server.
            UpstreamError: after bounded retries.
        """
        clock = Clock(self._timeout)

        async def attempt() -> tuple[Matrix, int | None]:
            clock.start()
            if not self._is_checked():
                await self.check()
            body = embeddings_body(texts, self.model or "")
            answer = await self._line.call("embed", EMBEDDINGS, body, timeout_seconds=clock.left)
            if not self._is_checked():  # a new connection may end at another server
                await self.check()
            return decode_embeddings(answer.body, len(texts))

        rows, read = await self._patiently(attempt, clock)
        self._answered_at = time.monotonic()
        self._require_size(rows)
        if read is not None and read != tokens and self.counts_tokens:
            raise InputRejected(
                f"the embedding server at {self.where} read {read} tokens where the texts have "
                f"{tokens}: it cuts or changes them without a word",
                service=SERVICE,
            )
        return rows

    async def check(self) -> None:
        """Verify the server, one attempt, shared by all who wait.

        Raises:
            UnsupportedServer, ConfigurationError: it is not the expected server.
            UpstreamError: it could not be asked.
        """
        await self._checking.join()

    @property
    def connections(self) -> int:
        """How many connections were tried so far."""
        return self._line.opened

    def answered_within(self, seconds: float) -> bool:
        """Tell whether the verified server embedded something in the last seconds."""
        return self.model is not None and time.monotonic() - self._answered_at <= seconds

    async def aclose(self) -> None:
        self._checking.cancel()
        await self._line.aclose()

    def _is_checked(self) -> bool:
        return self.model is not None and self._line.opened == self._checked_connections

    async def _check(self) -> None:
        try:
            await self._meet()
        except BaseException:
            self.model = None
            raise

    async def _meet(self) -> None:
        model = self._choose(await self._listed())
        require_quantization(self.where, model, self._quantization)
        body = embeddings_body(self._probes.texts, model)
        answer = await self._line.call("probe", EMBEDDINGS, body)
        rows, read = decode_embeddings(answer.body, len(self._probes.texts))
        self._require_size(rows)
        self._require_same_tokens(read)
        self._require_same_space(rows)
        if self.model is None:  # a further connection is held against the probes alone
            await self._require_recorded(model)
        self.model, self.counts_tokens, self._up = model, read is not None, True
        self._checked_connections = self._line.opened

    async def _listed(self) -> list[str]:
        """Names of the served models; none where the server lists none."""
        try:
            return decode_models((await self._line.call("models", MODELS)).body)
        except UpstreamRejected:
            return []

    async def _require_recorded(self, model: str) -> None:
        """Hold the server against the recording: the protocol tells neither weights nor dtype."""
        recording = self._expect.recording
        if recording is None:
            return
        texts = [text_json(item.rendered, at) for at, item in enumerate(recording.items)]
        rows: list[Matrix] = []
        for text in texts:
            answer = await self._line.call("probe", EMBEDDINGS, embeddings_body([text], model))
            rows.append(decode_embeddings(answer.body, 1)[0])
        self._require_size(rows[0])
        cosine, _ = worst_cosine(shorten(np.concatenate(rows), recording.size), recording.vectors)
        bar = bar_of("float32")
        if not cosine >= bar:
            raise UnsupportedServer(
                f"the embedding server at {self.where} gives a recorded text a vector of cosine "
                f"{cosine:.5f} to the reference's, at least {bar} is right: it serves another model, revision or quantisation, or lacks Dense layers; serve "
                "the recorded model in full precision, or record what is served"
            )

    def _choose(self, listed: Sequence[str]) -> str:
        wanted = [self._wanted] if self._wanted else list(self._expect.model_ids)
        known = [name for name in wanted if name in listed]
        if known:
            return known[0]
        if not listed:
            return wanted[0]
        names = ", ".join(map(repr, listed[:NAMED]))
        if self._wanted:
            raise UnsupportedServer(
                f"the embedding server at {self.where} serves {names}, not {self._wanted!r}: set "
                "openai.model to a name it serves"
            )
        if len(listed) > 1:
            raise ConfigurationError(
                f"the embedding server at {self.where} serves several models ({names}): set "
                "openai.model to one of them"
            )
        return listed[0]

    def _require_size(self, rows: Matrix) -> None:
        if rows.shape[1] != self._expect.size:
            self.model = None
            raise UnsupportedServer(
                f"the embedding server at {self.where} makes vectors of size {rows.shape[1]}, but "
                f"{self._expect.model_ids[0]!r} has {self._expect.size}: it serves another model"
            )

    def _require_same_tokens(self, read: int | None) -> None:
        if read is not None and read != self._probes.tokens:
            raise UnsupportedServer(
                f"the embedding server at {self.where} reads {read} tokens in texts that have "
                f"{self._probes.tokens} by openai.tokenizer: start it without a prompt of its own "
                "and with special tokens (llama.cpp: a GGUF with add_bos and add_eos), or point "
                "openai.tokenizer at the tokenizer.json of the model that it serves"
            )

    def _require_same_space(self, rows: Matrix) -> None:
        """Refuse a server that was exchanged for one with other vectors; remember the first's."""
        unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
        if self._space is None:
            self._space = unit
        elif not np.einsum("ij,ij->i", unit, self._space).min() >= SAME_SPACE:
            raise UnsupportedServer(
                f"the embedding server at {self.where} makes other vectors than before: another "
                "model was put there; put the former one back, or restart the gateway and ingest "
                "anew"
            )

    async def _patiently(self, attempt: Callable[[], Awaitable[T]], clock: Clock) -> T:
        try:
            patience = Patience(
                full_seconds=self._timeout,
                away_seconds=self._timeout if self._up else 0.0,
                clock=clock,
            )
            return await patiently(attempt, "embed", patience, self._sink, service=SERVICE)
        except BackendFailed:
            raise
        except UpstreamUnavailable:
            self._up = False  # until it answers again, callers are told at once
            self.model = None
            raise
