"""A cache in this process: gone with it, the least recently used entry first."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.encoders.caches.port import KEY_BYTES, Stored

ENTRY_OVERHEAD: Final = 140
"""Bytes of an entry beside its value, by `tracemalloc`: two objects' headers, the key, the links."""


class MemoryCache:
    """Implements `Cache` over an ordered dict, bounded by bytes."""

    def __init__(self, *, max_bytes: int) -> None:
        self.kind: Final = "memory"
        self._max_bytes: Final = max_bytes
        self._entries: Final[OrderedDict[bytes, bytes]] = OrderedDict()
        self._held = 0

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._get(key) for key in keys]

    async def put_many(self, entries: Mapping[bytes, bytes]) -> Stored:
        before = len(self._entries)
        added = 0
        for key, value in entries.items():
            old = self._entries.pop(key, None)
            self._held += _cost(value) - (0 if old is None else _cost(old))
            self._entries[key] = value
            added += old is None
        while self._held > self._max_bytes:
            _, value = self._entries.popitem(last=False)
            self._held -= _cost(value)
        return Stored(before + added - len(self._entries), self._held)

    async def aclose(self) -> None:
        self._entries.clear()
        self._held = 0

    def _get(self, key: bytes) -> bytes | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value


def _cost(value: bytes) -> int:
    return len(value) + KEY_BYTES + ENTRY_OVERHEAD
