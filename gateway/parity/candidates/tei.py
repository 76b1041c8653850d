"""One TEI server as it is: nothing of what it answers is refused before it was compared."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from gateway.errors import UpstreamOverloaded
from gateway.events import discard
from gateway.parity.candidates.base import About, Answered, Ask
from gateway.parity.layers.rows import joined
from gateway.tei.client import TEIClient
from gateway.tei.line import Limits, Line
from gateway.tei.wire import Info, decode_openai, text_json

T = TypeVar("T")
_PATIENCE: Final = (0.5, 1.0, 2.0, 4.0)
"""Seconds between tries at a server that is full."""


class TEICandidate:
    """Made by `connect`. Requests hold as many texts as the server takes in one."""

    cuts = True

    def __init__(self, client: TEIClient, line: Line, info: Info) -> None:
        """Join a client and a line to the same server, which said `info`."""
        self._client: Final = client
        self._line: Final = line
        self._info: Final = info

    @classmethod
    async def connect(
        cls, url: str, *, api_key: str | None = None, timeout_seconds: float = 120.0
    ) -> "TEICandidate":
        """Reach a server; `timeout_seconds` bounds one request, of its longest texts too.

        Raises:
            ConfigurationError: a malformed address, or a wrong key.
            UpstreamError: it cannot be reached, or is no TEI.
        """
        limits = Limits(timeout_seconds=timeout_seconds, read_timeout_seconds=timeout_seconds)
        client = TEIClient(url, api_key=api_key, limits=limits)
        line = Line(url, api_key, limits, discard)
        try:
            info = await client.verify()
        except BaseException:
            await client.aclose()
            await line.aclose()
            raise
        return cls(client, line, info)

    @property
    def about(self) -> About:
        info = self._info
        facts = {
            "version": info.version,
            "revision": info.model_sha or "not told",
            "auto_truncate": str(info.auto_truncate).lower(),
            "max_input_length": str(info.max_input_length),
            "max_client_batch_size": str(info.max_client_batch_size),
            "max_batch_requests": str(info.max_batch_requests or "not bounded"),
        }
        return About("tei", self._client.where, info.model_id, info.model_dtype, facts=facts)

    async def embed(self, asks: Sequence[Ask], *, size: int | None = None) -> Answered:
        texts = [text_json(ask.rendered, index) for index, ask in enumerate(asks)]
        parts = [await self._embed(part, size) for part in self._requests(texts)]
        rows = joined([part.rows for part in parts])
        return Answered(rows, sum(part.tokens or 0 for part in parts))

    async def token_ids(self, texts: Sequence[str]) -> list[list[int]] | None:
        bodies = [text_json(text, index) for index, text in enumerate(texts)]
        found: list[list[int]] = []
        for part in self._requests(bodies):
            tokens = await _patient(lambda part=part: self._client.tokenize(part, specials=True))
            found += [[token.id for token in row] for row in tokens]
        return found

    async def aclose(self) -> None:
        await self._client.aclose()
        await self._line.aclose()

    async def _embed(self, texts: Sequence[bytes], size: int | None) -> Answered:
        if size is None:
            embedded = await _patient(lambda: self._client.embed(texts))
            return Answered(embedded.rows, embedded.tokens)
        body = b'{"input":[%b],"encoding_format":"base64","dimensions":%d}'
        asked = body % (b",".join(texts), size)
        answer = await _patient(lambda: self._line.call("embed", "/v1/embeddings", asked))
        return Answered(*decode_openai(answer.body, len(texts)))

    def _requests(self, texts: Sequence[bytes]) -> list[Sequence[bytes]]:
        most = max(1, self._info.max_client_batch_size)
        return [texts[at : at + most] for at in range(0, len(texts), most)]


async def _patient(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again where the server is full; it may serve others meanwhile."""
    for pause in _PATIENCE:
        try:
            return await ask()
        except UpstreamOverloaded:
            await asyncio.sleep(pause)
    return await ask()
