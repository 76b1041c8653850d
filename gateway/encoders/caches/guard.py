"""A cache that may fail, made one that never does: what it cannot give is a miss."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.encoders.caches.port import Cache, Stored
from gateway.errors import UpstreamError, UpstreamTimeout
from gateway.events import CacheFailed, Sink, discard

READ_SECONDS: Final = 1.0
"""What the first caller pays when a cache hangs; a good one answers in milliseconds."""
WRITE_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 10.0
"""How long a cache that failed is left alone."""


class GuardedCache:
    """Implements `Cache` around another one: failures are events, followed by a pause."""

    def __init__(
        self,
        cache: Cache,
        *,
        read_seconds: float = READ_SECONDS,
        write_seconds: float = WRITE_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
        sink: Sink = discard,
    ) -> None:
        """Wrap `cache` and own it; the first two durations are deadlines of one call."""
        self._cache: Final = cache
        self._read_seconds: Final = read_seconds
        self._write_seconds: Final = write_seconds
        self._pause_seconds: Final = pause_seconds
        self._sink: Final = sink
        self._paused_until = float("-inf")

    @property
    def kind(self) -> str:
        return self._cache.kind

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        if time.monotonic() >= self._paused_until:
            try:
                async with asyncio.timeout(self._read_seconds):
                    return await self._cache.get_many(keys)
            except (TimeoutError, UpstreamError) as exc:
                self._failed("read", exc, len(keys))
        return [None] * len(keys)

    async def put_many(self, entries: Mapping[bytes, bytes]) -> Stored:
        if time.monotonic() >= self._paused_until:
            try:
                async with asyncio.timeout(self._write_seconds):
                    return await self._cache.put_many(entries)
            except (TimeoutError, UpstreamError) as exc:
                self._failed("write", exc, len(entries))
        return Stored()

    async def aclose(self) -> None:
        await self._cache.aclose()

    def _failed(self, operation: str, error: TimeoutError | UpstreamError, entries: int) -> None:
        self._paused_until = time.monotonic() + self._pause_seconds
        slug = error.slug if isinstance(error, UpstreamError) else UpstreamTimeout.slug
        self._sink(CacheFailed(self.kind, operation, slug, entries))
