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
from gateway.events import Sink, discard
from gateway.ports import EncoderInfo, Encoding, Health, Lane
from gateway.tei.canary import Canary
from gateway.tei.client import TEIClient
from gateway.tei.delivery import Delivery
from gateway.tei.discovery import Resolve, resolve
from gateway.tei.fleet import Fleet
from gateway.tei.goldens import Agreement
from gateway.tei.hedge import Hedge
from gateway.tei.identity import Expectation, GoldenCheck
from gateway.tei.line import Limits
from gateway.tei.replica import Replica

__all__ = ["Expectation", "GoldenCheck", "Limits", "TEIEncoder", "Wiring"]

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
        urls: Sequence[str],
        expect: Expectation,
        tokens: ExactTokens | None,
        wiring: Wiring,
        sink: Sink,
    ) -> None:
        """Join the parts; nothing is asked yet. Call it on the event loop's thread."""
        self._fleet: Final = Fleet(
            urls,
            _maker(expect, wiring, sink),
            limits=wiring.limits,
            sink=sink,
            resolve=wiring.resolve,
            check=self._check_tokens,
        )
        self._pool: Final = self._fleet.pool
        hedge = Hedge(sink) if wiring.hedge else None
        self._delivery: Final = Delivery(self._pool, size=expect.size, hedge=hedge)
        self._expect: Final = expect
        self._tokens: Final = tokens
        self._tokens_checked = tokens is None
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
        tokens = None
        if tokenizer is not None:
            tokens = await asyncio.to_thread(
                load_tokens, tokenizer, expect.model_ids, expect.max_tokens
            )
        encoder = cls(urls, expect, tokens, wiring, sink)
        await encoder._fleet.open(discovery_seconds=wiring.discovery_seconds)
        if wiring.canary_seconds:
            pool = encoder._pool
            canary = Canary(lambda: pool.replicas, seconds=wiring.canary_seconds, sink=sink)
            encoder._fleet.watch(canary.watch())
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
        return await self._fleet.health("tei")

    async def aclose(self) -> None:
        await self._fleet.aclose()

    async def _byte_spans(self, text: str) -> Sequence[Span]:
        (row,) = await self._pool.tokens([text])
        return [
            None if token.start is None or token.stop is None else (token.start, token.stop)
            for token in row
        ]

    async def _check_tokens(self) -> None:
        """Compare the tokenizer here with a server's, once."""
        if self._tokens is not None and not self._tokens_checked:
            await require_same_tokens(self._tokens, self._pool)
            self._tokens_checked = True


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
