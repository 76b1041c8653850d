"""One TEI server at one address: single attempts, verified before they are believed, checked after.

Bulk goes as `/v1/embeddings` in base64 (the cheapest exact form). A server that truncates by default
is told not to, per request, by way of `/embed`: an over-long text is always an error, never cut.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import httpx
import numpy as np

from gateway.domain.tokens import may_exceed
from gateway.errors import UpstreamTimeout
from gateway.events import Sink, discard
from gateway.tei.answers import Embedded, checked
from gateway.tei.examiner import Examiner, Look
from gateway.tei.gate import Examines, Gate
from gateway.tei.goldens import Agreement
from gateway.tei.identity import Expectation
from gateway.tei.line import TEI, Limits, Line, Speaks
from gateway.tei.refusals import BrokenAnswer, timed_out
from gateway.tei.unequal import (
    FILLER,
    Crossing,
    are_equal,
    may_be_equal,
    spaced,
    without_fillers,
)
from gateway.tei.wire import (
    Info,
    Token,
    decode_native,
    decode_openai,
    decode_ranks,
    decode_tokens,
    native_body,
    openai_body,
    rerank_body,
    tokenize_body,
)

HEALTH_SECONDS: Final = 5.0
LIMITS: Final = Limits()


class TEIClient:
    """Knows one server; balancing, retries and budgets are the pool's."""

    def __init__(  # noqa: PLR0913  each is given by name
        self,
        url: str,
        *,
        expect: Expectation | None = None,
        api_key: str | None = None,
        limits: Limits = LIMITS,
        address: str | None = None,
        agreement: Agreement | None = None,
        examiner: Callable[[str], Examines] | None = None,
        speaks: Speaks = TEI,
        on_info: Callable[[Info], None] = lambda _: None,
        transport: httpx.AsyncBaseTransport | None = None,
        sink: Sink = discard,
    ) -> None:
        """Prepare a client; nothing is sent before the first call.

        With `expect`, no vector of a server that does not meet it leaves `embed`, not even after
        the server was exchanged behind the address. `examiner` makes the judge of one that does not
        embed, told where it is, and `speaks` names it. `address` pins the host to one IP address;
        `transport` replaces the network.

        Raises:
            ConfigurationError: the URL is not an http(s) one.
        """
        self._line = Line(
            url, api_key, limits, sink, address=address, transport=transport, speaks=speaks
        )
        judge = None if examiner is None else examiner(self._line.where)
        if expect is not None:
            judge = Examiner(self._line, expect, agreement or Agreement())
        self._gate = Gate(self._line, judge, on_info)
        self._size = None if expect is None else expect.size
        self._crossing = Crossing()
        self._window = 0 if expect is None else expect.window
        self._limits = limits
        self._answered_at = float("-inf")

    @property
    def where(self) -> str:
        """Scheme, host and port, and the address where the host has several."""
        return self._line.where

    @property
    def known(self) -> Info | None:
        """What the verified server said of itself; None before, and after it was lost."""
        return self._gate.info

    async def info(self) -> Info:
        """Ask `/info`, once, without believing it."""
        return await self._gate.ask()

    async def verify(self, *, anew: bool = False) -> Info:
        """Return the info of the server, checked once, or again; see `Gate.require` for the errors."""
        return await (self._gate.check(anew=True) if anew else self._gate.require())

    @property
    def connections(self) -> int:
        """How many connections were tried so far: after another one, another server may answer."""
        return self._line.opened

    async def look_again(self) -> None:
        """Where a connection opened since the last look may end at another server, ask who it is.

        Raises:
            UnsupportedServer: another one answers, and it does not meet the expectation.
            UpstreamError: it could not be asked.
        """
        if self._gate.may_be_another:
            await self._gate.check()

    async def repeat(self, turn: int) -> Look | None:
        """Ask again for vectors that are known; see `Gate.repeat`."""
        return await self._gate.repeat(turn)

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

    async def embed(self, texts: Sequence[bytes], seconds: float | None = None) -> Embedded:
        """Embed texts, each in JSON, in one request: rows in order, each looked at.

        Raises:
            UnsupportedServer: the server does not meet the expectation.
            BrokenAnswer: the answer is not one vector of the right size for each text.
            GatewayError: what the refusal of the server means.
        """
        with self._crossing.watched() as crossed:
            answer = await self._embed(texts, seconds)
            shared = crossed()
        if self._window and may_be_equal(len(texts), answer.tokens, self._window, shared=shared):
            rows = await self.tokenize(texts, specials=True, seconds=seconds)
            if are_equal(rows):
                return await self._embed_apart(texts, seconds)
        return answer

    async def _embed_apart(self, texts: Sequence[bytes], seconds: float | None) -> Embedded:
        """Embed texts of one length above the window, so that no forward pass is of one length."""
        info = await self._gate.require(seconds)
        (filler,) = await self.tokenize([FILLER], specials=True, seconds=seconds)
        most = max(1, info.max_client_batch_size // 2)
        parts = [
            without_fillers(await self._embed(spaced(texts[at : at + most]), seconds), len(filler))
            for at in range(0, len(texts), most)
        ]
        bad = [at * most + place for at, part in enumerate(parts) for place in part.bad]
        rows = np.concatenate([part.rows for part in parts])
        return Embedded(rows, sum(part.tokens for part in parts), tuple(bad))

    async def _embed(self, texts: Sequence[bytes], seconds: float | None) -> Embedded:
        info = await self._gate.require(seconds)
        if info.auto_truncate and may_exceed(max(map(len, texts)), info.max_input_length):
            body, path, read = native_body(texts), "/embed", decode_native
        else:
            body, path, read = openai_body(texts), "/v1/embeddings", decode_openai
        answer = await self._gate.call("embed", path, body, info, timeout_seconds=seconds)
        rows, tokens = read(answer.body, len(texts), answer.headers)
        self._answered_at = time.monotonic()
        try:
            return checked(self.where, rows, tokens, self._size)
        except BrokenAnswer:  # of another size: another model answers now
            self._gate.forget()
            raise

    async def tokenize(
        self, texts: Sequence[bytes], *, specials: bool, seconds: float | None = None
    ) -> list[list[Token]]:
        """The model's tokens of texts in JSON; nothing is truncated, no permit is taken."""
        info = await self._gate.require(seconds)
        body = tokenize_body(texts, add_special_tokens=specials)
        answer = await self._gate.call("tokenize", "/tokenize", body, info, timeout_seconds=seconds)
        return decode_tokens(answer.body, len(texts))

    async def rerank(
        self, query: bytes, texts: Sequence[bytes], *, raw: bool, seconds: float | None = None
    ) -> list[float]:
        """Score a query with each text, all in JSON, in one request: scores in order.

        Raises:
            UnsupportedServer: the server is not the reranker expected.
            BrokenAnswer: the answer is not one number for each text.
            GatewayError: what the refusal of the server means.
        """
        info = await self._gate.require(seconds)
        body = rerank_body(query, texts, raw=raw)
        answer = await self._gate.call("rerank", "/rerank", body, info, timeout_seconds=seconds)
        scores = decode_ranks(answer.body, len(texts))
        self._answered_at = time.monotonic()
        return scores

    def forget(self) -> None:
        """Believe nothing of this server until it is examined anew."""
        self._gate.forget()

    async def aclose(self) -> None:
        await self._gate.aclose()
        await self._line.aclose()
