"""Vectors from Text Embeddings Inference servers: one model, one or several replicas."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import get_ident
from typing import Final, Self

import numpy as np

from gateway.encoders._cut import Span, cut
from gateway.encoders._tei_cut import cut_by_server
from gateway.encoders._tei_tokens import load_tokens, require_same_tokens
from gateway.encoders._tokens import ExactTokens
from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UnsupportedServer,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Sink, discard
from gateway.ports import EncoderInfo, Encoding, Health, Lane
from gateway.tei.canary import Canary
from gateway.tei.client import TEIClient
from gateway.tei.delivery import Delivery
from gateway.tei.discovery import Members, Resolve, resolve
from gateway.tei.goldens import Agreement
from gateway.tei.hedge import Hedge
from gateway.tei.identity import Expectation, GoldenCheck
from gateway.tei.line import Limits, require_url
from gateway.tei.pool import Pool
from gateway.tei.replica import Replica
from gateway.tei.together import together

__all__ = ["Expectation", "GoldenCheck", "Limits", "TEIEncoder", "Wiring"]

HEALTH_SECONDS: Final = 6.0
REMEMBERED_COUNTS: Final = 1024


@dataclass(frozen=True, slots=True)
class Wiring:
    """How the servers are reached.

    `hedge` asks slow queries of a second replica. Names are looked up again every
    `discovery_seconds` (0: never) by `resolve`. Every `canary_seconds` (0: never) each replica has to
    repeat the expected canaries, goldens and recording.
    """

    limits: Limits = field(default_factory=Limits)
    api_key: str | None = None
    hedge: bool = False
    discovery_seconds: float = 10.0
    canary_seconds: float = 0.0
    resolve: Resolve = resolve


DEFAULT_WIRING: Final = Wiring()


class TEIEncoder:
    """Implements `gateway.ports.Encoder`; made by `connect`.

    No server truncates: where one does by default, texts that could be too long are sent with
    truncation forbidden, so that every server refuses them and nothing is counted twice.
    """

    def __init__(
        self,
        pool: Pool,
        delivery: Delivery,
        members: Members,
        expect: Expectation,
        tokens: ExactTokens | None,
    ) -> None:
        """Join opened parts; call it on the event loop's thread."""
        self._pool: Final = pool
        self._delivery: Final = delivery
        self._members: Final = members
        self._expect: Final = expect
        self._tokens: Final = tokens
        self._tokens_checked = tokens is None
        self._tasks: Final[list[asyncio.Task[None]]] = []
        self._loop: Final = asyncio.get_running_loop()
        self._loop_thread: Final = get_ident()

    @classmethod
    async def connect(
        cls,
        urls: Sequence[str],
        *,
        expect: Expectation,
        tokenizer: Path | None = None,
        wiring: Wiring = DEFAULT_WIRING,
        sink: Sink = discard,
    ) -> Self:
        """Open replicas. One that is away or wrong is no error while another may be right.

        `tokenizer` is the model's tokenizer.json, or a folder that holds it (`load_tokens`); without
        it tokens are counted by the servers.

        Raises:
            UnsupportedServer: every replica answers, and none would answer rightly.
            ConfigurationError: no address, a malformed one, a wrong key, or another tokenizer.
        """
        if not urls:
            raise ConfigurationError("no TEI address is set: set tei.urls")
        for url in urls:
            require_url(url)
        tokens = None
        if tokenizer is not None:
            tokens = await asyncio.to_thread(
                load_tokens, tokenizer, expect.model_ids, expect.max_tokens
            )
        members = Members(urls, _maker(expect, wiring, sink), wiring.resolve)
        await members.refresh()
        pool = Pool(members.replicas, limits=wiring.limits, sink=sink)
        delivery = Delivery(pool, size=expect.size, hedge=Hedge(sink) if wiring.hedge else None)
        encoder = cls(pool, delivery, members, expect, tokens)
        try:
            await encoder._meet_all()
        except BaseException:
            await encoder.aclose()
            raise
        if wiring.discovery_seconds and members.may_change:
            encoder._tasks.append(asyncio.create_task(encoder._follow(wiring.discovery_seconds)))
        if wiring.canary_seconds:
            canary = Canary(lambda: pool.replicas, seconds=wiring.canary_seconds, sink=sink)
            encoder._tasks.append(asyncio.create_task(canary.watch()))
        return encoder

    @property
    def info(self) -> EncoderInfo:
        replicas = self._pool.replicas
        known = [info for info in (one.client.known for one in replicas) if info is not None]
        details = [
            ("urls", str(len(replicas))),
            ("verified", str(len(known))),
            ("tokens", "server" if self._tokens is None else "local"),
        ]
        if known:
            details += [
                ("versions", ", ".join(sorted({info.version for info in known}))),
                ("server_dtypes", ", ".join(sorted({info.model_dtype for info in known}))),
                ("server_models", ", ".join(sorted({info.model_id for info in known}))),
            ]
        return EncoderInfo(
            kind="tei",
            model_id=self._expect.model_ids[0],
            size=self._expect.size,
            max_tokens=self._expect.max_tokens,
            details=tuple(details),
        )

    @property
    def ready(self) -> list[str]:
        """Addresses of the replicas that are asked now."""
        return [replica.where for replica in self._pool.ready()]

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        """Encode on the replicas: batched, balanced, repeated on another where one fails."""
        if not texts:
            return Encoding(np.empty((0, self._expect.size), np.float32), 0)
        if not self._tokens_checked:
            await self._check_tokens()
        return await self._delivery.embed(texts, lane)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count with the model's tokenizer, here in a thread or by a server."""
        if self._tokens is not None:
            return await asyncio.to_thread(self._tokens.counts, texts)
        return [len(row) for row in await self._pool.tokens(texts)] if texts else []

    async def cut(self, text: str, tokens: int) -> str:
        """Cut with the model's tokenizer, here in a thread or by a server's offsets."""
        local = self._tokens
        if local is not None:
            return await cut(text, tokens, lambda part: asyncio.to_thread(local.spans, part))
        return await cut_by_server(text, tokens, self._byte_spans)

    def token_counter(self) -> Callable[[str], int]:
        if self._tokens is not None:
            return self._tokens.counter()
        loop, loop_thread = self._loop, self._loop_thread

        @lru_cache(maxsize=REMEMBERED_COUNTS)
        def count(text: str) -> int:
            if get_ident() == loop_thread:
                raise RuntimeError("a blocking token counter was called on the event loop's thread")
            return asyncio.run_coroutine_threadsafe(self.count_tokens([text]), loop).result()[0]

        return count

    async def health(self) -> Health:
        """Ask every replica; one that is verified and well is enough."""
        states = await asyncio.gather(*map(self._state, self._pool.replicas))
        return Health("tei", any(ok for ok, _ in states), "; ".join(told for _, told in states))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._members.aclose()

    async def _byte_spans(self, text: str) -> Sequence[Span]:
        (row,) = await self._pool.tokens([text])
        return [
            None if token.start is None or token.stop is None else (token.start, token.stop)
            for token in row
        ]

    async def _meet_all(self) -> None:
        """Verify the replicas at start-up: those that are away may come later, wrong ones may not."""
        errors = await together([_met(one) for one in self._pool.replicas])
        wrong = [error for error in errors if isinstance(error, ConfigurationError)]
        if len(wrong) == len(errors):
            raise wrong[0]
        if not self._tokens_checked and self._pool.ready():
            await self._check_tokens()

    async def _check_tokens(self) -> None:
        assert self._tokens is not None
        await require_same_tokens(self._tokens, self._pool)
        self._tokens_checked = True

    async def _follow(self, seconds: float) -> None:
        """Keep the pool equal to what the names resolve to."""
        while True:
            await asyncio.sleep(seconds)
            new = await self._members.refresh()
            kept = tuple(one for one in self._members.replicas if one not in new)
            self._pool.replicas = kept or self._members.replicas
            await together([_met(one) for one in new])
            self._pool.replicas = self._members.replicas

    async def _state(self, replica: Replica) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                if not replica.ready or replica.client.known is None:
                    await replica.meet()
                if not self._tokens_checked:
                    await self._check_tokens()
                state = await replica.client.health()
        except TimeoutError:
            return False, f"{replica.where}: no answer in {HEALTH_SECONDS:g} s"
        except GatewayError as exc:
            told = str(exc)
            return False, told if replica.where in told else f"{replica.where}: {told}"
        version = replica.client.known.version if replica.client.known else "unknown"
        return True, f"{replica.where}: TEI {version} {state}"


def _maker(expect: Expectation, wiring: Wiring, sink: Sink) -> Callable[[str, str | None], Replica]:
    agreement = Agreement()

    def make(url: str, address: str | None) -> Replica:
        return Replica(
            lambda obey: TEIClient(
                url,
                expect=expect,
                api_key=wiring.api_key,
                limits=wiring.limits,
                address=address,
                agreement=agreement,
                on_info=obey,
                sink=sink,
            ),
            wiring.limits,
            sink,
        )

    return make


async def _met(replica: Replica) -> GatewayError | None:
    """Verify a replica; returns why it is left out. One that is no TEI at all is a wrong one."""
    try:
        await replica.meet()
    except (UpstreamUnavailable, UpstreamTimeout, UpstreamOverloaded, ConfigurationError) as exc:
        return exc
    except GatewayError as exc:
        return UnsupportedServer(f"{replica.where} does not answer as TEI does: {exc}")
    return None
