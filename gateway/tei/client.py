"""One TEI replica: verified before it is believed, never given more than it takes.

Texts are split to the server's limits, sent as `/v1/embeddings` in base64 (the cheapest exact form)
and put together in order. A server that truncates by default is told not to, per request, by way of
`/embed`: an over-long text is always an error, never cut.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NoReturn, TypeVar

import numpy as np

from gateway.domain.tokens import may_exceed
from gateway.domain.vectors import Matrix
from gateway.errors import InvalidRequest, UpstreamTimeout, UpstreamUnavailable
from gateway.events import Sink, discard
from gateway.tei.budget import InputBudget
from gateway.tei.gate import Gate
from gateway.tei.identity import Expectation
from gateway.tei.line import Limits, Line
from gateway.tei.parts import Part, halves, split, together, too_long
from gateway.tei.refusals import BackendFailed, TooMuchAtOnce, timed_out
from gateway.tei.retry import patiently
from gateway.tei.wire import (
    Info,
    decode_native,
    decode_openai,
    decode_token_ids,
    decode_token_spans,
    native_body,
    openai_body,
    text_json,
    tokenize_body,
)

T = TypeVar("T")

ENVELOPE_BYTES: Final = 256
"""More than a request body holds beside its texts."""
HEALTH_SECONDS: Final = 5.0
LIMITS: Final = Limits()


class TEIClient:
    """One replica at one address."""

    def __init__(
        self,
        url: str,
        *,
        expect: Expectation | None = None,
        api_key: str | None = None,
        limits: Limits = LIMITS,
        sink: Sink = discard,
    ) -> None:
        """Prepare a client; nothing is sent before the first call.

        With `expect`, no vector of a server that does not meet it leaves `embed`, not even after
        the server was exchanged behind the address.

        Raises:
            ConfigurationError: the address is not an http(s) URL.
        """
        self._line = Line(url, api_key, limits, sink)
        self._gate = Gate(self._line, expect, self._obey)
        self._limits = limits
        self._sink = sink
        self._budget = InputBudget(limits.max_in_flight)
        self._answered_at = float("-inf")

    @property
    def where(self) -> str:
        """Scheme, host and port."""
        return self._line.where

    @property
    def load(self) -> int:
        """Inputs in flight and waiting."""
        return self._budget.load

    @property
    def known(self) -> Info | None:
        """What the verified server said of itself; None before, and after it was lost."""
        return self._gate.info

    async def info(self) -> Info:
        """Ask `/info`, once, without believing it."""
        return await self._gate.ask()

    async def verify(self) -> Info:
        """Return the info of the server, checked once; see `Gate.require` for the errors."""
        return await self._gate.require()

    async def health(self) -> str:
        """Ask `/health`, once; "ok", or "busy" where the server is only slow to say so.

        TEI queues the question behind the running batch; one that embedded within the last timeout
        before the question is alive.

        Raises:
            UpstreamError: it is down or unhealthy.
        """
        recent = time.monotonic() - self._limits.timeout_seconds
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._line.call("health", "/health")
        except (TimeoutError, UpstreamTimeout) as exc:
            if self._answered_at > recent:
                return "busy"
            raise timed_out(f"TEI at {self.where} did not answer /health: is it stuck?") from exc
        return "ok"

    async def embed(
        self, texts: Sequence[str], *, patience: float | None = None
    ) -> tuple[Matrix, int]:
        """Embed at least one text: raw rows in order, shape (n, size), and the tokens read.

        `patience` in seconds shortens the time over which a full or absent server is asked again.

        Raises:
            InputTooLong, InvalidText: with the index of a guilty input.
            UnsupportedServer: the server does not meet the expectation.
            UpstreamError: after bounded retries.
        """
        parts = await self._split(texts, patience)
        if len(parts) == 1:
            return await self._embed_part(parts[0], patience)
        answers = await together([self._embed_part(part, patience) for part in parts])
        return _joined(answers)

    async def tokenize(self, texts: Sequence[str], *, add_special_tokens: bool = True) -> list[int]:
        """Count the model's tokens of each text; nothing is truncated, no permit is taken."""
        rows = await self.token_ids(texts, add_special_tokens=add_special_tokens)
        return [len(row) for row in rows]

    async def token_ids(
        self, texts: Sequence[str], *, add_special_tokens: bool = True
    ) -> list[list[int]]:
        """Ids of the model's tokens of each text; errors as `embed`."""
        if not texts:
            return []
        parts = await self._split(texts, None)
        answers = await together(
            [self._tokenize_part(part, add_special_tokens, decode_token_ids) for part in parts]
        )
        return [row for rows in answers for row in rows]

    async def token_spans(self, text: str) -> list[tuple[int, int] | None]:
        """Bytes that each token of a text covers, start and stop; None for special tokens."""
        (part,) = await self._split([text], None)
        return (await self._tokenize_part(part, True, decode_token_spans))[0]

    async def aclose(self) -> None:
        await self._gate.aclose()
        await self._line.aclose()

    def _obey(self, info: Info) -> None:
        self._budget.resize(min(self._limits.max_in_flight, max(1, info.max_concurrent_requests)))

    async def _split(self, texts: Sequence[str], patience: float | None) -> list[Part]:
        encoded = [text_json(text, index) for index, text in enumerate(texts)]
        info = self._gate.info
        if info is None:
            info = await self._patiently("verify", self._gate.require, patience)
        most = max(1, min(info.max_client_batch_size, self._budget.capacity))
        return split(encoded, most, self._limits.payload_bytes - ENVELOPE_BYTES)

    async def _embed_part(self, part: Part, patience: float | None) -> tuple[Matrix, int]:
        try:
            return await self._send(part.texts, patience)
        except TooMuchAtOnce as exc:
            if len(part.texts) == 1:
                raise too_long(part.start, str(exc)) from exc
        except InvalidRequest as exc:
            await self._blame(part, exc, patience)
        return _joined([await self._embed_part(half, patience) for half in halves(part)])

    async def _send(self, texts: list[bytes], patience: float | None) -> tuple[Matrix, int]:
        async def attempt() -> tuple[Matrix, int]:
            async with self._budget.hold(len(texts)):
                info = await self._gate.require()
                if info.auto_truncate and may_exceed(max(map(len, texts)), info.max_input_length):
                    answer = await self._gate.call("embed", "/embed", native_body(texts), info)
                    return decode_native(answer.body, len(texts), answer.headers)
                answer = await self._gate.call("embed", "/v1/embeddings", openai_body(texts), info)
                return decode_openai(answer.body, len(texts))

        result = await self._patiently("embed", attempt, patience)
        self._answered_at = time.monotonic()
        return result

    async def _blame(self, part: Part, error: InvalidRequest, patience: float | None) -> NoReturn:
        """Find an input that the server refuses, in log2(n) requests, and raise its error."""
        while len(part.texts) > 1:
            left, right = halves(part)
            try:
                await self._send(left.texts, patience)
            except InvalidRequest as exc:
                part, error = left, exc
            else:
                part = right
        message = f"input {part.start}: {error}"
        raise type(error)(message, field=error.field, index=part.start) from error

    async def _tokenize_part(
        self, part: Part, add_special_tokens: bool, decode: Callable[[bytes, int], list[T]]
    ) -> list[T]:
        body = tokenize_body(part.texts, add_special_tokens=add_special_tokens)

        async def attempt() -> list[T]:
            info = await self._gate.require()
            answer = await self._gate.call("tokenize", "/tokenize", body, info)
            return decode(answer.body, len(part.texts))

        return await self._patiently("tokenize", attempt, None)

    async def _patiently(
        self, operation: str, attempt: Callable[[], Awaitable[T]], patience: float | None
    ) -> T:
        seconds = self._limits.timeout_seconds if patience is None else patience
        try:
            return await patiently(
                attempt,
                operation,
                full_seconds=seconds,
                away_seconds=seconds if self._gate.up else 0.0,
                sink=self._sink,
            )
        except UpstreamUnavailable as exc:
            if not isinstance(exc, BackendFailed):
                self._gate.up = False  # until it answers again, callers are told at once
            raise


def _joined(answers: Sequence[tuple[Matrix, int]]) -> tuple[Matrix, int]:
    return np.concatenate([rows for rows, _ in answers]), sum(tokens for _, tokens in answers)
