"""Vectors from Text Embeddings Inference servers: one model, one or several replicas."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import get_ident
from typing import Final, Self, TypeVar

import numpy as np

from gateway.encoders._cut import Span, cut
from gateway.encoders._tei_cut import cut_by_server
from gateway.encoders._tei_tokens import load_tokens, require_same_tokens
from gateway.encoders._tokens import ExactTokens
from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UnsupportedServer,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Sink, discard
from gateway.ports import EncoderInfo, Encoding, Health, Lane
from gateway.tei.client import TEIClient
from gateway.tei.identity import Expectation
from gateway.tei.line import Limits

__all__ = ["Expectation", "TEIEncoder"]

T = TypeVar("T")

COOL_DOWN_SECONDS: Final = 2.0
"""How long a replica that failed is asked only after all others."""
FAILOVER_SECONDS: Final = 1.0
"""How long a replica is asked again while another one could answer instead."""
HEALTH_SECONDS: Final = 6.0
REMEMBERED_COUNTS: Final = 1024


class TEIEncoder:
    """Implements `gateway.ports.Encoder`; made by `connect`.

    Truncation has one owner, the server, and is always off: where a server truncates by default,
    texts that could be too long are sent with truncation forbidden, so that both kinds answer
    `InputTooLong` and nothing is counted twice.
    """

    def __init__(
        self, clients: Sequence[TEIClient], expect: Expectation, tokens: ExactTokens | None
    ) -> None:
        """Join verified or not yet verified clients; call it on the event loop's thread."""
        self._clients: Final = tuple(clients)
        self._expect: Final = expect
        self._tokens: Final = tokens
        self._tokens_checked = tokens is None
        self._cool_until: dict[TEIClient, float] = {}
        self._loop: Final = asyncio.get_running_loop()
        self._loop_thread: Final = get_ident()

    @classmethod
    async def connect(  # noqa: PLR0913  each is a setting, given by name
        cls,
        urls: Sequence[str],
        *,
        expect: Expectation,
        api_key: str | None = None,
        tokenizer: Path | None = None,
        timeout_seconds: float = 30.0,
        connect_timeout_seconds: float = 5.0,
        max_in_flight: int = 256,
        sink: Sink = discard,
    ) -> Self:
        """Open replicas. One that is away is no error: it is verified when it comes.

        `tokenizer` is the model's tokenizer.json, or a folder that holds it (`load_tokens`); without
        it tokens are counted by the servers. `max_in_flight` counts inputs per replica.

        Raises:
            UnsupportedServer: a replica that answers is not one that would answer rightly.
            ConfigurationError: no address, a malformed one, a wrong key, or another tokenizer.
        """
        if not urls:
            raise ConfigurationError("no TEI address is set: set tei.urls")
        limits = Limits(timeout_seconds, connect_timeout_seconds, max_in_flight)
        tokens = None
        if tokenizer is not None:
            tokens = await asyncio.to_thread(
                load_tokens, tokenizer, expect.model_ids, expect.max_tokens
            )
        clients = [
            TEIClient(url, expect=expect, api_key=api_key, limits=limits, sink=sink)
            for url in dict.fromkeys(urls)
        ]
        encoder = cls(clients, expect, tokens)
        try:
            await asyncio.gather(*map(encoder._meet, clients))
        except BaseException:
            await encoder.aclose()
            raise
        return encoder

    @property
    def info(self) -> EncoderInfo:
        known = [info for info in (client.known for client in self._clients) if info is not None]
        details = [
            ("urls", str(len(self._clients))),
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

    async def encode(  # the lane says nothing here: calls take turns
        self,
        texts: Sequence[str],
        *,
        lane: Lane = Lane.QUERY,  # noqa: ARG002
    ) -> Encoding:
        """Encode on the least loaded replica, or on another where that one fails."""
        if not texts:
            return Encoding(np.empty((0, self._expect.size), np.float32), 0)

        async def embed(client: TEIClient, patience: float | None) -> Encoding:
            rows, tokens = await client.embed(texts, patience=patience)
            return Encoding(rows, tokens)

        return await self._on_a_replica(embed)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count with the model's tokenizer, here in a thread or by a server."""
        if self._tokens is not None:
            return await asyncio.to_thread(self._tokens.counts, texts)
        return await self._on_a_replica(lambda client, _patience: client.tokenize(texts))

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
        states = await asyncio.gather(*map(self._state, self._clients))
        return Health("tei", any(ok for ok, _ in states), "; ".join(told for _, told in states))

    async def aclose(self) -> None:
        await asyncio.gather(*(client.aclose() for client in self._clients))

    async def _byte_spans(self, text: str) -> Sequence[Span]:
        return await self._on_a_replica(lambda client, _patience: client.token_spans(text))

    async def _meet(self, client: TEIClient) -> None:
        """Verify a replica at start-up: one that is away may come later, a wrong one may not."""
        try:
            await self._ready(client)
        except (UpstreamUnavailable, UpstreamTimeout, UpstreamOverloaded):
            self._cool_until[client] = time.monotonic() + COOL_DOWN_SECONDS
        except UpstreamError as exc:
            raise UnsupportedServer(f"{client.where} does not answer as TEI does: {exc}") from exc

    async def _ready(self, client: TEIClient) -> None:
        await client.verify()
        if self._tokens is not None and not self._tokens_checked:
            await require_same_tokens(self._tokens, client)
            self._tokens_checked = True

    async def _on_a_replica(self, call: Callable[[TEIClient, float | None], Awaitable[T]]) -> T:
        """Call on the replicas in turn, best first, until one answers or refuses the input.

        The last one is asked again as long as its client does; before it, only shortly.
        """
        order = self._by_preference()
        for client in order:
            last = client is order[-1]
            try:
                if not self._tokens_checked:
                    await self._ready(client)
                return await call(client, None if last else FAILOVER_SECONDS)
            except (UpstreamUnavailable, UpstreamOverloaded, ConfigurationError):
                self._cool_until[client] = time.monotonic() + COOL_DOWN_SECONDS
                if last:
                    raise
        raise AssertionError("an encoder has at least one replica")

    def _by_preference(self) -> Sequence[TEIClient]:
        """Warm replicas by load, then cooling ones by the time left."""
        if len(self._clients) == 1:
            return self._clients
        now = time.monotonic()
        return sorted(
            self._clients,
            key=lambda client: (max(0.0, self._cool_until.get(client, 0.0) - now), client.load),
        )

    async def _state(self, client: TEIClient) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._ready(client)
                state = await client.health()
        except TimeoutError:
            return False, f"{client.where}: no answer in {HEALTH_SECONDS:g} s"
        except GatewayError as exc:
            return False, f"{client.where}: {exc}"
        version = client.known.version if client.known else "unknown"
        return True, f"{client.where}: TEI {version} {state}"
