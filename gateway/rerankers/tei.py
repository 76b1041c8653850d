"""Scores from the `/rerank` of Text Embeddings Inference servers: one model, one or several replicas.

Texts over the limits of a request are parted and merged by index. A text over the model's limit is cut
by the server at its end (`truncate`).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Self

from gateway.errors import UpstreamError
from gateway.events import Sink, discard
from gateway.ports import Health, RerankerInfo
from gateway.rerankers._texts import require_readable
from gateway.tei.batches import consecutive
from gateway.tei.client import TEIClient
from gateway.tei.discovery import Resolve, resolve
from gateway.tei.fleet import Fleet
from gateway.tei.line import Limits, Speaks
from gateway.tei.refusals import TooMuchAtOnce, refusal, timed_out
from gateway.tei.replica import Replica
from gateway.tei.reranking import OneModel, RerankExaminer
from gateway.tei.retry import Clock
from gateway.tei.wire import text_json
from gateway.together import together

SERVICE: Final = "rerank"
SPEAKS: Final = Speaks(SERVICE, "the reranker", refusal)
PAYLOAD_BYTES: Final = 1_000_000
"""Most bytes of one request: half of what TEI takes by default, so that a proxy takes it too."""
GRACE_SECONDS: Final = 0.5
"""After the deadline, so that the error of the last attempt is told rather than that time is up."""


class TEIReranker:
    """Implements `gateway.ports.Reranker`; made by `connect`."""

    def __init__(
        self, fleet: Fleet, served: OneModel, *, model: str | None, raw: bool, seconds: float
    ) -> None:
        """Join opened parts."""
        self._fleet: Final = fleet
        self._served: Final = served
        self._model: Final = model
        self._raw: Final = raw
        self._seconds: Final = seconds

    @classmethod
    async def connect(  # noqa: PLR0913  each is given by name
        cls,
        urls: Sequence[str],
        *,
        model: str | None = None,
        raw: bool = False,
        api_key: str | None = None,
        timeout_seconds: float = 10.0,
        discovery_seconds: float = 10.0,
        resolve: Resolve = resolve,
        sink: Sink = discard,
    ) -> Self:
        """Open replicas. One that is away or wrong is no error while another may be right.

        With `model`, servers of another one are refused. `raw` asks for the model's own numbers
        instead of probabilities. `timeout_seconds` is the deadline of one call with its repetitions.

        Raises:
            UnsupportedServer: every replica answers, and none is a reranker of the model.
            ConfigurationError: no address, a malformed one, or a wrong key.
        """
        limits = Limits(
            timeout_seconds=timeout_seconds,
            read_timeout_seconds=timeout_seconds,
            connect_timeout_seconds=min(5.0, timeout_seconds),
            payload_bytes=PAYLOAD_BYTES,
        )
        served = OneModel()
        make = _maker(model, served, api_key, limits, sink)
        fleet = Fleet(urls, make, limits=limits, sink=sink, resolve=resolve, service=SERVICE)
        await fleet.open(discovery_seconds=discovery_seconds)
        return cls(fleet, served, model=model, raw=raw, seconds=timeout_seconds)

    @property
    def info(self) -> RerankerInfo:
        return RerankerInfo("tei", self._model or self._served.model_id or "unknown", self._raw)

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        require_readable(query, texts)
        if not texts:
            return []
        asked = text_json(query, 0)
        try:
            async with asyncio.timeout(self._seconds + GRACE_SECONDS):
                return await self._rerank(asked, texts)
        except TimeoutError as exc:
            raise timed_out(
                f"{len(texts)} texts were not reranked within {self._seconds:g} s: send fewer, give "
                "the reranker more replicas, or raise rerank.timeout_seconds",
                SERVICE,
            ) from exc
        except UpstreamError as exc:
            exc.service = SERVICE
            raise

    async def health(self) -> Health:
        """Ask every replica; one that is verified and well is enough."""
        return await self._fleet.health("reranker")

    async def aclose(self) -> None:
        await self._fleet.aclose()

    async def _rerank(self, query: bytes, texts: Sequence[str]) -> list[float]:
        room = await self._fleet.pool.room()
        room = replace(room, payload_bytes=room.payload_bytes - len(query))
        clock = self._fleet.pool.clock()
        parts = consecutive(texts, room)
        found = await together([self._part(query, part, clock) for part in parts])
        return [score for scores in found for score in scores]

    async def _part(self, query: bytes, texts: Sequence[bytes], clock: Clock) -> list[float]:
        """Have one request's texts scored; what is too much for a server is sent in halves."""

        async def ask(replica: Replica) -> list[float]:
            return await replica.rerank(query, texts, raw=self._raw, clock=clock)

        try:
            return await self._fleet.pool.persist("rerank", clock, ask)
        except TooMuchAtOnce:
            if len(texts) == 1 or clock.left <= 0:
                raise
        middle = len(texts) // 2
        first = await self._part(query, texts[:middle], clock)
        return first + await self._part(query, texts[middle:], clock)


def _maker(
    model: str | None, served: OneModel, api_key: str | None, limits: Limits, sink: Sink
) -> Callable[[str, str | None], Replica]:
    def make(url: str, address: str | None) -> Replica:
        return Replica(
            lambda obey: TEIClient(
                url,
                examiner=lambda where: RerankExaminer(where, model, served),
                speaks=SPEAKS,
                api_key=api_key,
                limits=limits,
                address=address,
                on_info=obey,
                sink=sink,
            ),
            limits,
            sink,
            service=SERVICE,
        )

    return make
