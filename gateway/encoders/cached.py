"""Vectors are computed once and found again: a cache before an encoder."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.domain.vectors import Matrix, have_direction
from gateway.encoders._joining import Part, joined, naming
from gateway.encoders._wrapper import WrappedEncoder
from gateway.encoders.caches.entry import keys_of, pack, rows_of, space_key, unpack
from gateway.encoders.caches.port import Cache
from gateway.errors import GatewayError
from gateway.events import CacheFailed, CacheRead, CacheWritten, Sink, discard
from gateway.ports import Encoder, Encoding, Lane

PENDING_BYTES: Final = 64_000_000
"""Vectors that wait to be written; what comes on top is not kept."""
CLOSING_SECONDS: Final = 10.0
"""Time that waiting writes get when the encoder is closed."""


class CachedEncoder(WrappedEncoder):
    """Answers from `cache` what it can, and keeps there what the encoder answered.

    Full raw rows are kept, under the space and the rendered text (`caches.entry`), so one encoding
    serves every size, and another model, prompt, dtype or server version is another key. An entry
    that is not sound is a miss. Refused texts and rows without direction are not kept. Writing
    happens behind the answer.
    """

    def __init__(self, encoder: Encoder, cache: Cache, space: str, *, sink: Sink = discard) -> None:
        """Wrap and own `encoder` and `cache`, which raises nothing (`GuardedCache`).

        `space` is the fingerprint of the space that the encoder is used for.
        """
        super().__init__(encoder)
        self._cache: Final = cache
        self._space: Final = space
        self._sink: Final = sink
        self._last_key: bytes | None = None
        self._pending = 0
        self._writes: Final[set[asyncio.Task[None]]] = set()

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        space = space_key(self._space, self.info) or self._last_key
        if space is None or not texts:
            return await self._encoder.encode(texts, lane=lane)
        self._last_key = space
        keys = keys_of(space, texts)
        found = await self._find(keys)
        known = set(found.places)
        missing = [place for place in range(len(texts)) if place not in known]
        self._sink(CacheRead(self._cache.kind, len(known), len(missing)))
        if not missing:
            return found.encoding
        if not known:
            return await self._ask(space, texts, keys, lane)
        asked = [texts[place] for place in missing]
        with naming(missing):
            answer = await self._ask(space, asked, [keys[place] for place in missing], lane)
        parts = [
            Part({texts[place]: row for row, place in enumerate(found.places)}, found.encoding),
            Part({text: row for row, text in enumerate(asked)}, answer),
        ]
        return await joined(texts, parts, size=self.info.size, count_tokens=self.count_tokens)

    async def settle(self) -> None:
        """Wait until everything answered so far is written, or given up."""
        while self._writes:
            await asyncio.wait(self._writes)

    async def aclose(self) -> None:
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self.settle()
        except TimeoutError:
            for task in self._writes:
                task.cancel()
            await self.settle()
        await self._cache.aclose()
        await super().aclose()

    async def _find(self, keys: Sequence[bytes]) -> "_Found":
        """Return the sound entries that are there."""
        size = self.info.size
        values = await self._cache.get_many(keys)
        places: list[int] = []
        bodies: list[memoryview] = []
        counts: list[int] = []
        for place, (key, value) in enumerate(zip(keys, values, strict=True)):
            if value is not None and (entry := unpack(key, value, size)) is not None:
                places.append(place)
                bodies.append(entry[0])
                counts.append(entry[1])
        rows = rows_of(bodies, size)
        sound = have_direction(rows)
        if not sound.all():
            kept = np.flatnonzero(sound).tolist()
            rows, places, counts = rows[kept], [places[i] for i in kept], [counts[i] for i in kept]
        broken = sum(value is not None for value in values) - len(places)
        if broken:
            self._sink(CacheFailed(self._cache.kind, "read", "corrupt", broken))
        return _Found(places, Encoding(rows, sum(counts), counts=counts))

    async def _ask(
        self, space: bytes, texts: Sequence[str], keys: Sequence[bytes], lane: Lane
    ) -> Encoding:
        encoding = await self._encoder.encode(texts, lane=lane)
        if space_key(self._space, self.info) == space:  # the same servers as before the call
            self._keep(texts, keys, encoding)
        return encoding

    def _keep(self, texts: Sequence[str], keys: Sequence[bytes], encoding: Encoding) -> None:
        """Begin to write what is fit to be kept; the rows are copied, they are the caller's."""
        rows = encoding.rows
        if rows.shape != (len(texts), self.info.size) or rows.dtype != np.float32:
            return
        sound = have_direction(rows)
        kept = [i for i in range(len(texts)) if sound[i] and i not in encoding.refused]
        size = len(kept) * rows.itemsize * rows.shape[1]
        if not kept:
            return
        if self._pending + size > PENDING_BYTES:
            self._sink(CacheFailed(self._cache.kind, "write", "full", len(kept)))
            return
        counts = encoding.counts
        if counts is None and len(texts) == 1:
            counts = [encoding.tokens]
        known = None if counts is None else [counts[i] for i in kept]
        write = self._write([texts[i] for i in kept], [keys[i] for i in kept], rows[kept], known)
        self._pending += size
        task = asyncio.create_task(write)
        self._writes.add(task)
        task.add_done_callback(lambda done: self._written(done, size))

    def _written(self, task: asyncio.Task[None], size: int) -> None:
        self._writes.discard(task)
        self._pending -= size

    async def _write(
        self,
        texts: Sequence[str],
        keys: Sequence[bytes],
        rows: Matrix,
        counts: Sequence[int] | None,
    ) -> None:
        try:
            tokens = await self.count_tokens(texts) if counts is None else counts
        except GatewayError as exc:
            self._sink(CacheFailed(self._cache.kind, "write", exc.slug, len(keys)))
            return
        entries = {key: pack(key, row, n) for key, row, n in zip(keys, rows, tokens, strict=True)}
        stored = await self._cache.put_many(entries)
        self._sink(CacheWritten(self._cache.kind, len(entries), stored.evicted, stored.held_bytes))


@dataclass(frozen=True, slots=True)
class _Found:
    """What the cache had, and the places of those inputs."""

    places: list[int]
    encoding: Encoding
