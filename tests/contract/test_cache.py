"""One suite for every backend: what `gateway.encoders.caches.port.Cache` promises."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from gateway.encoders.caches.port import KEY_BYTES, Cache
from tests.support.caches import KINDS, open_cache

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
async def cache(kind: str, anyio_backend: str) -> AsyncGenerator[Cache, None]:
    async with open_cache(kind) as opened:
        yield opened


def key(name: object) -> bytes:
    return repr(name).encode().ljust(KEY_BYTES, b"\0")


async def test_it_says_its_kind(cache: Cache, kind: str) -> None:
    assert cache.kind == ("memory" if kind == "guarded" else kind)


async def test_what_was_put_is_found_byte_by_byte(cache: Cache) -> None:
    value = bytes(range(256)) * 12
    await cache.put_many({key("a"): value, key("b"): b"\0"})

    assert await cache.get_many([key("a"), key("b")]) == [value, b"\0"]


async def test_values_come_in_the_order_asked_with_none_for_the_unknown(cache: Cache) -> None:
    await cache.put_many({key(n): str(n).encode() for n in range(3)})

    found = await cache.get_many([key(2), key("unknown"), key(0), key(2), key(1)])

    assert found == [b"2", None, b"0", b"2", b"1"]


async def test_the_later_value_replaces_the_earlier(cache: Cache) -> None:
    await cache.put_many({key("r"): b"old"})
    await cache.put_many({key("r"): b"new and longer"})

    assert await cache.get_many([key("r")]) == [b"new and longer"]


async def test_nothing_asked_and_nothing_put_is_no_error(cache: Cache) -> None:
    assert await cache.get_many([]) == []
    assert (await cache.put_many({})).evicted == 0


async def test_a_thousand_entries_go_in_and_out_in_one_call(cache: Cache) -> None:
    entries = {key(("many", n)): n.to_bytes(4, "big") * 800 for n in range(1_500)}
    await cache.put_many(entries)

    assert await cache.get_many(list(entries)) == list(entries.values())


async def test_concurrent_calls_do_not_mix(cache: Cache) -> None:
    async def use(caller: int) -> None:
        entries = {key((caller, n)): f"{caller}-{n}".encode() * 100 for n in range(20)}
        await cache.put_many(entries)
        assert await cache.get_many(list(entries)) == list(entries.values())

    await asyncio.gather(*(use(caller) for caller in range(40)))


async def test_a_cancelled_read_leaves_the_cache_usable(cache: Cache) -> None:
    entries = {key(("c", n)): bytes([n]) * 3_000 for n in range(200)}
    await cache.put_many(entries)
    for turns in range(6):
        call = asyncio.create_task(cache.get_many(list(entries)))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

        assert await cache.get_many([key(("c", 7))]) == [b"\7" * 3_000]


async def test_closing_twice_is_no_error(kind: str) -> None:
    async with open_cache(kind) as opened:
        await opened.put_many({key(1): b"1"})
        await opened.aclose()
        await opened.aclose()


@pytest.mark.parametrize("bounded", ["memory", "disk"])
async def test_it_holds_no_more_than_its_bound_and_drops_the_oldest(
    bounded: str, tmp_path: Path
) -> None:
    async with open_cache(bounded, folder=tmp_path, max_bytes=1_000_000) as cache:
        evicted = 0
        for start in range(0, 2_000, 50):
            entries = {key(n): bytes(3_000) for n in range(start, start + 50)}
            stored = await cache.put_many(entries)
            evicted += stored.evicted
            assert stored.held_bytes is not None
            assert stored.held_bytes <= 1_000_000
        found = await cache.get_many([key(n) for n in range(2_000)])

    kept = [n for n, value in enumerate(found) if value is not None]
    assert kept == list(range(2_000 - len(kept), 2_000))
    assert 200 <= len(kept) == 2_000 - evicted
