"""Caches that fail: a dead server, a broken file, a slow disk. All are misses, none is an error."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from gateway.encoders.caches.disk import FILE_NAME, DiskCache
from gateway.encoders.caches.guard import GuardedCache
from gateway.encoders.caches.memory import MemoryCache
from gateway.encoders.caches.port import KEY_BYTES, Stored
from gateway.encoders.caches.valkey import ValkeyCache
from gateway.errors import ConfigurationError, UpstreamUnavailable
from gateway.events import CacheFailed, Event
from tests.support.caches import valkey_server

pytestmark = pytest.mark.anyio

A, B = b"a" * KEY_BYTES, b"b" * KEY_BYTES


class BrokenCache(MemoryCache):
    """Fails, or is slow, and counts how often it is asked."""

    def __init__(self, *, slow: bool = False) -> None:
        super().__init__(max_bytes=1_000_000)
        self.slow = slow
        self.asked = 0

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return await self._fail()

    async def put_many(self, entries: Mapping[bytes, bytes]) -> Stored:
        await self._fail()
        return Stored()

    async def _fail(self) -> list[bytes | None]:
        self.asked += 1
        if self.slow:
            await asyncio.Event().wait()
        raise UpstreamUnavailable("down", service="cache")


@pytest.mark.parametrize(
    ("slow", "slug"), [(False, "upstream-unavailable"), (True, "upstream-timeout")]
)
async def test_a_failure_is_a_miss_an_event_and_a_pause(slow: bool, slug: str) -> None:
    events: list[Event] = []
    broken = BrokenCache(slow=slow)
    cache = GuardedCache(broken, read_seconds=0.02, pause_seconds=60, sink=events.append)

    assert await cache.get_many([A, B]) == [None, None]
    assert await cache.get_many([A]) == [None]
    assert await cache.put_many({A: b"1"}) == Stored()

    assert broken.asked == 1
    assert events == [CacheFailed("memory", "read", slug, 2)]


async def test_after_the_pause_it_is_asked_again() -> None:
    broken = BrokenCache()
    cache = GuardedCache(broken, write_seconds=0.02, pause_seconds=0)

    await cache.put_many({A: b"1"})
    await cache.get_many([A])

    assert broken.asked == 2


async def test_a_server_that_dies_and_comes_back_is_used_again() -> None:
    events: list[Event] = []
    with valkey_server() as server:
        cache = GuardedCache(
            ValkeyCache.connect(server.url),
            read_seconds=2,
            pause_seconds=0,
            sink=events.append,
        )
        await cache.put_many({A: b"1"})
        assert await cache.get_many([A]) == [b"1"]
    assert await cache.get_many([A]) == [None]
    assert events
    assert all(isinstance(event, CacheFailed) for event in events)
    with valkey_server(port=server.port):
        await cache.put_many({A: b"2"})
        assert await cache.get_many([A]) == [b"2"]
        await cache.aclose()


async def test_a_server_that_hangs_costs_one_deadline() -> None:
    with valkey_server() as server:
        cache = GuardedCache(ValkeyCache.connect(server.url), read_seconds=0.1, pause_seconds=60)
        await cache.put_many({A: b"1"})
        server.process.send_signal(signal.SIGSTOP)
        async with asyncio.timeout(10):
            for _ in range(100):
                assert await cache.get_many([A]) == [None]
        server.process.send_signal(signal.SIGCONT)
        await cache.aclose()


async def test_a_password_is_sent_and_a_wrong_one_is_a_failure() -> None:
    with valkey_server("--requirepass", "open sesame") as server:
        right = ValkeyCache.connect(server.url, password="open sesame", ttl_seconds=60)
        wrong = ValkeyCache.connect(server.url, password="guess")
        await right.put_many({A: b"1"})
        assert await right.get_many([A]) == [b"1"]
        with pytest.raises(UpstreamUnavailable) as failed:
            await wrong.get_many([A])
        assert "guess" not in str(failed.value)
        await right.aclose()
        await wrong.aclose()


async def test_entries_of_a_server_expire() -> None:
    with valkey_server() as server:
        cache = ValkeyCache.connect(server.url, ttl_seconds=1)
        await cache.put_many({A: b"1"})
        for _ in range(100):
            if await cache.get_many([A]) == [None]:
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the entry did not expire in 10 s")
        await cache.aclose()


@pytest.mark.parametrize(
    "content", [b"no database at all" * 500, b"", b"SQLite format 3\0" + b"x" * 9_000]
)
async def test_a_file_that_is_no_database_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    cache = await DiskCache.open(tmp_path, max_bytes=1_000_000)
    await cache.put_many({A: b"1"})

    assert await cache.get_many([A]) == [b"1"]
    await cache.aclose()


async def test_a_file_broken_while_it_is_open_is_replaced(tmp_path: Path) -> None:
    cache = await DiskCache.open(tmp_path, max_bytes=10_000_000)
    await cache.put_many({n.to_bytes(KEY_BYTES, "big"): bytes(3_000) for n in range(500)})
    await cache.aclose()
    whole = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(whole[:16_384] + b"\xff" * (len(whole) - 16_384))

    cache = await DiskCache.open(tmp_path, max_bytes=10_000_000)
    with pytest.raises(UpstreamUnavailable):
        await cache.get_many([n.to_bytes(KEY_BYTES, "big") for n in range(500)])
    await cache.put_many({A: b"1"})

    assert await cache.get_many([A]) == [b"1"]
    await cache.aclose()


async def test_a_use_saves_an_entry_on_disk_from_being_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.encoders.caches.disk.USE_SECONDS", -1)
    now = 1_000_000.0
    monkeypatch.setattr("gateway.encoders.caches.disk.time.time", lambda: now)
    cache = await DiskCache.open(tmp_path, max_bytes=1_000_000)
    await cache.put_many({A: bytes(3_000), B: bytes(3_000)})
    for n in range(600):
        now += 1
        assert await cache.get_many([A]) != [None]
        await cache.put_many({n.to_bytes(KEY_BYTES, "big"): bytes(3_000)})

    assert await cache.get_many([B]) == [None]
    await cache.aclose()


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(ConfigurationError, match=r"cache\.path"):
        await DiskCache.open(tmp_path / "file", max_bytes=1_000_000)


async def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    cache = await DiskCache.open(tmp_path / "cache", max_bytes=1_000_000)
    await cache.aclose()

    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


async def test_a_use_saves_an_entry_in_memory_from_being_dropped() -> None:
    cache = MemoryCache(max_bytes=10_000)
    await cache.put_many({A: bytes(3_000), B: bytes(3_000)})
    await cache.get_many([A])

    stored = await cache.put_many({b"c" * KEY_BYTES: bytes(3_000), b"d" * KEY_BYTES: bytes(3_000)})

    assert await cache.get_many([A, B]) == [bytes(3_000), None]
    assert stored.evicted == 1
