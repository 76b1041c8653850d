"""Vectors from any server that speaks OpenAI's `/v1/embeddings`: llama.cpp, vLLM, another gateway.

The protocol tells no limits and promises little, so nothing is left to the server: tokens are counted
here with the model's own tokenizer, a text over the limit is never sent, and every answer is checked.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

from gateway.encoders._cut import cut
from gateway.encoders._openai_line import line_to
from gateway.encoders._openai_server import OpenAIServer, Probes
from gateway.encoders._openai_work import Work, prepare
from gateway.encoders._tei_tokens import PROBES, load_tokens
from gateway.encoders._tokens import ExactTokens
from gateway.errors import (
    GatewayError,
    UnsupportedServer,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamQuota,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Sink, discard
from gateway.ports import EncoderInfo, Encoding, Health, Lane
from gateway.tei.call import BLAMES_AN_INPUT
from gateway.tei.identity import Expectation
from gateway.tei.line import Limits
from gateway.tei.wire import text_json
from gateway.together import together

__all__ = ["Expectation", "OpenAIEncoder"]

BATCH_TOKENS: Final = 16_384
"""Padded tokens of one request: eight of EmbeddingGemma's longest texts."""
HEALTH_SECONDS: Final = 6.0


class OpenAIEncoder:
    """Implements `gateway.ports.Encoder`; made by `connect`.

    A request that the server refuses is halved until the guilty texts are found; they are named, the
    rest is encoded. A server that then fails on its probes as well is what failed, not a text.
    """

    def __init__(
        self,
        server: OpenAIServer,
        tokens: ExactTokens,
        expect: Expectation,
        *,
        max_batch: int,
        max_in_flight: int,
        quantization: str = "",
    ) -> None:
        """Join a server, verified or not yet, and the model's tokenizer."""
        self._server: Final = server
        self._tokens: Final = tokens
        self._expect: Final = expect
        self._max_batch: Final = max_batch
        self._quantization: Final = quantization
        self._turns: Final = asyncio.Semaphore(max_in_flight)
        self._ingest_turns: Final = asyncio.Semaphore(max(1, max_in_flight - 1))

    @classmethod
    async def connect(  # noqa: PLR0913  each is a setting, given by name
        cls,
        url: str,
        *,
        expect: Expectation,
        tokenizer: Path,
        model: str | None = None,
        quantization: str = "",
        api_key: str | None = None,
        timeout_seconds: float = 30.0,
        connect_timeout_seconds: float = 5.0,
        max_batch: int = 32,
        max_in_flight: int = 4,
        sink: Sink = discard,
    ) -> Self:
        """Open a server. One that is away is no error: it is verified when it comes.

        `tokenizer` is the model's tokenizer.json, or a folder that holds it; `model` the name that
        requests carry, the one that the server lists by default; `max_batch` counts texts of one
        request, `max_in_flight` requests; `quantization` the kind of its weights ("q8_0"), empty for
        full precision.

        Raises:
            UnsupportedServer: the server answers, but not as the configured model would.
            ConfigurationError: a malformed address, a wrong key, or no readable tokenizer.
        """
        tokens = await asyncio.to_thread(
            load_tokens, tokenizer, expect.model_ids, expect.max_tokens
        )
        limits = Limits(
            timeout_seconds=timeout_seconds,
            read_timeout_seconds=timeout_seconds,
            connect_timeout_seconds=connect_timeout_seconds,
            max_in_flight=max_in_flight,
        )
        server = OpenAIServer(
            line_to(url, api_key, limits, sink),
            expect=expect,
            probes=Probes(
                [text_json(text, index) for index, text in enumerate(PROBES)],
                sum(tokens.counts(PROBES)),
            ),
            model=model,
            quantization=quantization,
            timeout_seconds=timeout_seconds,
            sink=sink,
        )
        try:
            await _meet(server)
        except BaseException:
            await server.aclose()
            raise
        return cls(
            server,
            tokens,
            expect,
            max_batch=max_batch,
            max_in_flight=max_in_flight,
            quantization=quantization,
        )

    @property
    def info(self) -> EncoderInfo:
        model = self._server.model
        details = [("server", self._server.where), ("verified", "yes" if model else "no")]
        if model:
            counts = "compared" if self._server.counts_tokens else "not told"
            details += [("server_model", model), ("server_tokens", counts)]
        return EncoderInfo(
            kind="openai",
            model_id=self._expect.model_ids[0],
            size=self._expect.size,
            max_tokens=self._expect.max_tokens,
            quantization=self._quantization,
            details=tuple(details),
        )

    @property
    def connections(self) -> int:
        """How many connections were tried so far."""
        return self._server.connections

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        """Encode in requests of like length; an ingest always leaves a turn for queries."""
        work = await asyncio.to_thread(prepare, texts, self._tokens, self._expect)
        batches = work.batches(self._max_batch, BATCH_TOKENS)
        await together([self._fill(work, batch, lane) for batch in batches])
        return work.encoding()

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return await asyncio.to_thread(self._tokens.counts, texts)

    async def cut(self, text: str, tokens: int) -> str:
        return await cut(text, tokens, lambda part: asyncio.to_thread(self._tokens.spans, part))

    def token_counter(self) -> Callable[[str], int]:
        return self._tokens.counter()

    async def health(self) -> Health:
        """Verify the server again, unless it has just embedded something: it may be busy with more."""
        where = self._server.where
        if self._server.answered_within(HEALTH_SECONDS):
            return Health("openai", True, f"{where}: serves {self._server.model!r}")
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._server.check()
        except TimeoutError:
            return Health("openai", False, f"{where}: no answer in {HEALTH_SECONDS:g} s")
        except GatewayError as exc:
            return Health("openai", False, f"{where}: {exc}")
        return Health("openai", True, f"{where}: serves {self._server.model!r}")

    async def aclose(self) -> None:
        await self._server.aclose()

    async def _fill(self, work: Work, batch: Sequence[int], lane: Lane) -> None:
        """Encode one batch; where it is refused and the server is well, by halves."""
        try:
            await self._send(work, batch, lane)
        except BLAMES_AN_INPUT as exc:
            await self._server.check()
            await self._halve(work, batch, lane, exc)

    async def _halve(
        self, work: Work, batch: Sequence[int], lane: Lane, error: GatewayError
    ) -> None:
        if len(batch) == 1:
            work.refuse(batch[0], error)
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            try:
                await self._send(work, half, lane)
            except BLAMES_AN_INPUT as exc:
                await self._halve(work, half, lane, exc)

    async def _send(self, work: Work, batch: Sequence[int], lane: Lane) -> None:
        async with self._turn(lane):
            rows = await self._server.embed(*work.request(batch))
        work.take(batch, rows)

    @asynccontextmanager
    async def _turn(self, lane: Lane) -> AsyncGenerator[None]:
        """Hold one of the requests in flight; the last free one is never an ingest's."""
        if lane is Lane.QUERY:
            async with self._turns:
                yield
            return
        async with self._ingest_turns, self._turns:
            yield


async def _meet(server: OpenAIServer) -> None:
    """Verify a server at start-up: one that is away, or unpaid, may come later, a wrong one not."""
    try:
        await server.check()
    except (UpstreamUnavailable, UpstreamTimeout, UpstreamOverloaded, UpstreamQuota):
        return
    except UpstreamError as exc:
        raise UnsupportedServer(
            f"{server.where} does not answer as a server of OpenAI's /v1/embeddings does: {exc}"
        ) from exc
