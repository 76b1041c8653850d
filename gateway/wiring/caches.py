"""The cache of vectors that the settings name; adapters are imported only when they are used."""

from typing import TYPE_CHECKING

from gateway.events import Sink
from gateway.settings import Settings

if TYPE_CHECKING:  # adapters are imported when they are used
    from gateway.encoders.caches.port import Cache


async def open_cache(settings: Settings, sink: Sink) -> "Cache":
    """Open the cache that the settings name; its failures are events, never errors."""
    from gateway.encoders.caches.guard import GuardedCache  # noqa: PLC0415

    return GuardedCache(await CACHES[settings.cache.kind](settings), sink=sink)


async def _memory_cache(settings: Settings) -> "Cache":
    from gateway.encoders.caches.memory import MemoryCache  # noqa: PLC0415

    return MemoryCache(max_bytes=settings.cache.max_bytes)


async def _disk_cache(settings: Settings) -> "Cache":
    from gateway.encoders.caches.disk import DiskCache  # noqa: PLC0415

    folder = settings.cache.path or settings.data_dir / "cache"
    return await DiskCache.open(folder, max_bytes=settings.cache.max_bytes)


async def _valkey_cache(settings: Settings) -> "Cache":
    from gateway.encoders.caches.valkey import ValkeyCache  # noqa: PLC0415

    cache = settings.cache
    return ValkeyCache.connect(
        cache.url or "",
        username=cache.username,
        password=cache.password.get_secret_value() if cache.password else None,
        ttl_seconds=cache.ttl_seconds,
    )


CACHES = {"memory": _memory_cache, "disk": _disk_cache, "valkey": _valkey_cache}
