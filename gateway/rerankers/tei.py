"""A reranker behind TEI's `/rerank`: batches over the server's limit are parted and merged.

Texts over the model's limit are cut by the server at their end (`truncate`): a passage that is read in
part still ranks, and nothing that is stored depends on it.
"""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from gateway.errors import GatewayError, UnsupportedServer, UpstreamError
from gateway.events import Sink, discard
from gateway.ports import Health, RerankerInfo
from gateway.tei.line import Limits, Line, Speaks
from gateway.tei.refusals import UNREADABLE, BrokenAnswer, refusal
from gateway.tei.retry import Clock, Patience, patiently
from gateway.tei.together import together
from gateway.tei.wire import Info, decode_info, text_json

T = TypeVar("T")

SERVICE: Final = "rerank"
AWAY_SECONDS: Final = 5.0
HEALTH_SECONDS: Final = 5.0
_NAME: Final = "the reranker"


class _Rank(msgspec.Struct):
    index: int
    score: float


_read_ranks: Final = msgspec.json.Decoder(list[_Rank]).decode


@dataclass(slots=True)
class _Replica:
    """One server; `info` is what it said once it was found to be a reranker."""

    line: Line
    info: Info | None = None


class TEIReranker:
    """Implements `gateway.ports.Reranker` over one or several servers of one model."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        model: str | None = None,
        raw: bool = False,
        api_key: str | None = None,
        timeout_seconds: float = 10.0,
        sink: Sink = discard,
    ) -> None:
        """Prepare lines; nothing is sent before the first call.

        With `model`, servers of another one are refused. `raw` asks for the model's own numbers
        instead of probabilities. `timeout_seconds` is the deadline of one call with its repetitions.

        Raises:
            ConfigurationError: an address is not an http(s) URL.
        """
        limits = Limits(
            timeout_seconds=timeout_seconds,
            read_timeout_seconds=timeout_seconds,
            connect_timeout_seconds=min(5.0, timeout_seconds),
        )
        speaks = Speaks(SERVICE, _NAME, _refusal)
        self._replicas: Final = [
            _Replica(Line(url, api_key, limits, sink, speaks=speaks)) for url in urls
        ]
        self._turns: Final = itertools.cycle(self._replicas)
        self._model: Final = model
        self._raw: Final = raw
        self._seconds: Final = timeout_seconds
        self._sink: Final = sink

    @property
    def info(self) -> RerankerInfo:
        known = next((r.info.model_id for r in self._replicas if r.info is not None), None)
        return RerankerInfo("tei", self._model or known or "unknown", self._raw)

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        asked = text_json(query, 0)
        bodies = [text_json(text, index) for index, text in enumerate(texts)]
        clock = Clock(self._seconds)
        clock.start()
        most = (await self._verified(clock)).max_client_batch_size
        parts = [bodies[start : start + most] for start in range(0, len(bodies), most)]
        found = await together([self._part(asked, part, clock) for part in parts])
        return [score for scores in found for score in scores]

    async def health(self) -> Health:
        """Say whether any server answers as a reranker of the model."""
        said: list[str] = []
        for replica in self._replicas:
            try:
                async with asyncio.timeout(HEALTH_SECONDS):
                    info = await self._look(replica, HEALTH_SECONDS)
            except TimeoutError:
                said.append(f"{replica.line.where}: no answer in {HEALTH_SECONDS:g} s")
            except GatewayError as exc:
                said.append(str(exc))
            else:
                return Health("reranker", True, f"{replica.line.where}: serves {info.model_id!r}")
        return Health("reranker", False, "; ".join(said))

    async def aclose(self) -> None:
        for replica in self._replicas:
            await replica.line.aclose()

    async def _verified(self, clock: Clock) -> Info:
        known = next((r.info for r in self._replicas if r.info is not None), None)
        return known or await self._patiently(
            lambda replica: self._look(replica, clock.left), clock
        )

    async def _part(self, query: bytes, texts: Sequence[bytes], clock: Clock) -> list[float]:
        body = _body(query, texts, raw=self._raw)

        async def ask(replica: _Replica) -> list[float]:
            if replica.info is None:
                await self._look(replica, clock.left)
            try:
                answer = await replica.line.call(
                    "rerank", "/rerank", body, timeout_seconds=max(0.001, clock.left)
                )
                return _scores(replica.line.where, answer.body, len(texts))
            except GatewayError:
                replica.info = None  # another server may be there when it comes back
                raise

        return await self._patiently(ask, clock)

    async def _patiently(self, ask: Callable[[_Replica], Awaitable[T]], clock: Clock) -> T:
        """Ask one server after the other while there is time and that may help."""
        tried = itertools.count(1)
        patience = Patience(
            full_seconds=self._seconds,
            away_seconds=min(self._seconds, AWAY_SECONDS),
            clock=clock,
            may_pause=lambda: next(tried) >= len(self._replicas),
        )
        return await patiently(
            lambda: ask(next(self._turns)), "rerank", patience, self._sink, service=SERVICE
        )

    async def _look(self, replica: _Replica, seconds: float) -> Info:
        """Ask a server what it is, and believe it when it is a reranker of the model.

        Raises:
            UnsupportedServer: it is none, or of another model.
        """
        where = replica.line.where
        answer = await replica.line.call("info", "/info", timeout_seconds=max(0.001, seconds))
        try:
            info = decode_info(answer.body)
        except BrokenAnswer as exc:
            raise UnsupportedServer(
                f"{_NAME} at {where} does not answer /info as TEI does: is there one?"
            ) from exc
        if "reranker" not in info.model_type:
            kind = ", ".join(info.model_type) if isinstance(info.model_type, dict) else "another"
            raise UnsupportedServer(
                f"{_NAME} at {where} serves {info.model_id!r}, which is no reranker ({kind}): start "
                "TEI with a cross-encoder, or correct rerank.urls"
            )
        if self._model and "embedding" not in info.model_type and info.model_id != self._model:
            raise UnsupportedServer(
                f"{_NAME} at {where} serves {info.model_id!r}, not {self._model!r}: correct "
                "rerank.model or rerank.urls"
            )
        replica.info = info
        return info


def _body(query: bytes, texts: Sequence[bytes], *, raw: bool) -> bytes:
    flag = b"true" if raw else b"false"
    return b'{"query":%b,"texts":[%b],"raw_scores":%b,"truncate":true}' % (
        query,
        b",".join(texts),
        flag,
    )


def _scores(where: str, body: bytes, count: int) -> list[float]:
    """Return the scores in the order of the texts.

    Raises:
        BrokenAnswer: it is not one finite score for each text.
    """
    try:
        ranks = _read_ranks(body)
    except UNREADABLE as exc:
        raise BrokenAnswer(f"{_NAME} at {where} answered no ranks", service=SERVICE) from exc
    scores = {rank.index: rank.score for rank in ranks if math.isfinite(rank.score)}
    if len(ranks) != count or set(scores) != set(range(count)):
        raise BrokenAnswer(
            f"{_NAME} at {where} answered {len(ranks)} ranks for {count} texts, or some without a "
            "number",
            service=SERVICE,
        )
    return [scores[index] for index in range(count)]


def _refusal(where: str, status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """Read a refusal as TEI's, told in the name of this service."""
    error = refusal(where, status, body, headers)
    if isinstance(error, UpstreamError):
        error.service = SERVICE
    return error
