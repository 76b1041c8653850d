"""The cache before an encoder: computed once, found exactly, never believed when it is not sound."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.domain.vectors import shorten
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder, Input
from gateway.encoders._wrapper import WrappedEncoder
from gateway.encoders.cached import CachedEncoder
from gateway.encoders.caches.disk import DiskCache
from gateway.encoders.caches.entry import pack, rows_of, space_key, text_key, unpack
from gateway.encoders.caches.memory import MemoryCache
from gateway.encoders.caches.port import Cache, Stored
from gateway.encoders.fake import FakeEncoder
from gateway.errors import InputTooLong, InvalidText, UpstreamUnavailable
from gateway.events import CacheFailed, CacheRead, CacheWritten, Event
from gateway.ports import EncoderInfo, Encoding, Lane
from tests.support.encoders import CASES
from tests.support.gated import GatedEncoder
from tests.support.ingesting import CountingEncoder

pytestmark = pytest.mark.anyio

INFO = EncoderInfo("tei", "m", 4, 16, details=(("verified", "1"), ("server_dtypes", "float32")))


@asynccontextmanager
async def cached(
    behind: FakeEncoder, cache: Cache | None = None, *, space: str = "space"
) -> AsyncGenerator[CachedEncoder, None]:
    cache = MemoryCache(max_bytes=10_000_000) if cache is None else cache
    async with aclosing(CachedEncoder(behind, cache, space)) as encoder:
        yield encoder


class KeptCache(MemoryCache):
    """A memory cache that outlives the encoders before it, and can be broken into."""

    def __init__(self) -> None:
        super().__init__(max_bytes=10_000_000)
        self.entries: dict[bytes, bytes] = {}

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.entries.get(key) for key in keys]

    async def put_many(self, entries: Mapping[bytes, bytes]) -> Stored:
        self.entries.update(entries)
        return Stored()


async def same_as_bare(encoding: Encoding, texts: Sequence[str], size: int = 768) -> bool:
    bare = await FakeEncoder(size=size).encode(texts)
    return np.array_equal(encoding.rows, bare.rows) and encoding.tokens == bare.tokens


async def test_a_text_seen_before_is_not_encoded_again() -> None:
    behind = CountingEncoder()
    async with cached(behind) as encoder:
        await encoder.encode(["a b", "c"])
        await encoder.settle()
        answer = await encoder.encode(["c", "new", "a b", "c"])

        assert behind.texts == ["a b", "c", "new"]
        assert await same_as_bare(answer, ["c", "new", "a b", "c"])
        assert list(answer.counts or []) == await behind.count_tokens(["c", "new", "a b", "c"])


async def test_counts_are_asked_for_behind_the_answer_where_the_encoder_knows_only_totals() -> None:
    behind = GatedEncoder(counts=False, open_gate=True)
    async with cached(behind) as encoder:
        await encoder.encode(["one text"])
        await encoder.encode(["a b", "c d e"])
        assert behind.counted == []
        await encoder.settle()
        assert behind.counted == ["a b", "c d e"]
        answer = await encoder.encode(["c d e", "one text"])

        assert len(behind.calls) == 2
        assert await same_as_bare(answer, ["c d e", "one text"], size=32)


async def test_every_size_comes_from_one_encoding() -> None:
    behind = CountingEncoder()
    async with cached(behind) as encoder:
        embedder = Embedder(EMBEDDING_GEMMA_300M, encoder)
        bare = Embedder(EMBEDDING_GEMMA_300M, FakeEncoder())
        for size in (768, 512, 256, 128):
            found = await embedder.embed("query", [Input("red planet")], size=size)
            await encoder.settle()
            made = await bare.embed("query", [Input("red planet")], size=size)
            np.testing.assert_array_equal(found.vectors, made.vectors)
            assert found.tokens == made.tokens

        assert len(behind.texts) == 1


async def test_a_second_run_over_the_same_disk_computes_nothing(tmp_path: Path) -> None:
    texts = [f"text number {n}" for n in range(300)]
    async with cached(CountingEncoder(), await disk(tmp_path)) as encoder:
        await encoder.encode(texts)

    behind = CountingEncoder()
    async with cached(behind, await disk(tmp_path)) as encoder:
        answer = await encoder.encode(texts)

    assert behind.texts == []
    assert await same_as_bare(answer, texts)


async def disk(folder: Path) -> DiskCache:
    return await DiskCache.open(folder, max_bytes=10_000_000)


async def test_two_open_gateways_share_a_disk(tmp_path: Path) -> None:
    behind = CountingEncoder()
    async with (
        cached(CountingEncoder(), await disk(tmp_path)) as first,
        cached(behind, await disk(tmp_path)) as second,
    ):
        await first.encode(["a", "b"])
        await first.settle()
        await second.encode(["b", "a"])

    assert behind.texts == []


class OtherEncoder(CountingEncoder):
    """The fake with another description of itself."""

    def __init__(self, **changes: object) -> None:
        super().__init__()
        self.changes: Mapping[str, object] = changes

    @property
    def info(self) -> EncoderInfo:
        return replace(super().info, **self.changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "bfloat16"},
        {"model_id": "another"},
        {"kind": "local"},
        {"variant": ""},
        {"details": (("server_dtypes", "bfloat16"),)},
        {"details": (("weights_sha256", "1"),)},
    ],
)
async def test_another_encoder_computes_anew(changes: dict[str, object]) -> None:
    cache = KeptCache()
    async with cached(CountingEncoder(), cache) as encoder:
        await encoder.encode(["text"])
    other = OtherEncoder(**changes)
    async with cached(other, cache) as encoder:
        await encoder.encode(["text"])

    assert other.texts == ["text"]


async def test_another_profile_prompt_or_revision_computes_anew() -> None:
    profile = EMBEDDING_GEMMA_300M
    spaces = {
        profile.fingerprint(),
        profile.fingerprint("fake"),
        replace(profile, revision="other").fingerprint(),
        replace(profile, prompts={**profile.prompts, "query": "other: "}).fingerprint(),
    }
    cache, behind = KeptCache(), CountingEncoder()
    for space in spaces:
        async with cached(behind, cache, space=space) as encoder:
            await encoder.encode(["text"])

    assert len(spaces) == 4
    assert behind.texts == ["text"] * 4


class Counted(WrappedEncoder):
    """Counts the texts that reach the encoder behind."""

    texts = 0

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        self.texts += len(texts)
        return await self._encoder.encode(texts, lane=lane)


async def test_vectors_of_a_server_are_found_again() -> None:
    """Nothing that a TEI encoder says of itself may change from call to call."""
    async with CASES["tei"].open(lambda _: Path()) as tei:
        behind = Counted(tei)
        encoder = CachedEncoder(behind, MemoryCache(max_bytes=1_000_000), "space")
        first = await encoder.encode(["a b", "c", "d"])
        await encoder.settle()
        second = await encoder.encode(["a b", "c", "d"])

        assert behind.texts == 3
        assert first.tokens == second.tokens
        np.testing.assert_array_equal(first.rows, second.rows)
        await encoder.aclose()


async def test_how_a_server_is_reached_is_no_part_of_the_key() -> None:
    moved = replace(INFO, details=(*INFO.details, ("urls", "3"), ("tokens", "local")))
    away = replace(INFO, details=(("verified", "0"),))

    assert space_key("s", INFO) == space_key("s", moved)
    assert space_key("s", away) is None


async def test_servers_that_nobody_verified_are_not_cached_but_an_outage_is_bridged() -> None:
    behind = OtherEncoder(details=(("verified", "0"),))
    async with cached(behind) as encoder:
        await encoder.encode(["a"])
        await encoder.encode(["a"])
        assert behind.texts == ["a", "a"]
        behind.changes = {"details": (("verified", "1"),)}
        await encoder.encode(["a"])
        await encoder.settle()
        behind.changes = {"details": (("verified", "0"),)}
        await encoder.encode(["a"])
        assert behind.texts == ["a"] * 3


async def test_rows_of_servers_exchanged_in_mid_call_are_not_kept() -> None:
    class Exchanged(OtherEncoder):
        async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
            encoding = await super().encode(texts, lane=lane)
            self.changes = {"details": (("server_dtypes", "bfloat16"),)}
            return encoding

    cache = KeptCache()
    async with cached(Exchanged(), cache) as encoder:
        await encoder.encode(["a"])

    assert cache.entries == {}


def flip(value: bytes) -> bytes:
    return value[:-3] + bytes([value[-3] ^ 1]) + value[-2:]


def nan(key: bytes) -> bytes:
    return pack(key, np.full(768, np.nan, np.float32), 3)


def zeros(key: bytes) -> bytes:
    return pack(key, np.zeros(768, np.float32), 3)


@pytest.mark.parametrize("harm", ["flipped", "short", "long", "empty", "swapped", "nan", "zeros"])
async def test_an_entry_that_is_not_sound_is_a_miss_and_is_replaced(harm: str) -> None:
    cache, behind, events = KeptCache(), CountingEncoder(), list[Event]()
    encoder = CachedEncoder(behind, cache, "space", sink=events.append)
    await encoder.encode(["a", "b"])
    await encoder.settle()
    (first, value), (_, other) = cache.entries.items()
    cache.entries[first] = {
        "flipped": flip(value),
        "short": value[:-4],
        "long": value + b"1234",
        "empty": b"",
        "swapped": other,
        "nan": nan(first),
        "zeros": zeros(first),
    }[harm]

    answer = await encoder.encode(["a", "b"])
    await encoder.aclose()

    assert await same_as_bare(answer, ["a", "b"])
    assert behind.texts == ["a", "b", "a"]
    assert CacheFailed("memory", "read", "corrupt", 1) in events
    assert cache.entries[first] == value


async def test_only_sound_rows_of_texts_that_were_not_refused_are_kept() -> None:
    cache = KeptCache()
    behind = GatedEncoder(open_gate=True)
    behind.refused["bad"] = InvalidText("input 1 is no text", index=1)
    async with cached(behind, cache) as encoder:
        answer = await encoder.encode(["good", "bad"])
        assert list(answer.refused) == [1]
    broken = CountingEncoder()
    broken.broken.add("zeros")
    async with cached(broken, cache) as encoder:
        await encoder.encode(["zeros here", "fine"])

    assert len(cache.entries) == 2


async def test_a_refusal_names_the_callers_index_when_others_were_found() -> None:
    behind = FakeEncoder(size=768, max_tokens=4)
    async with cached(behind) as encoder:
        await encoder.encode(["a"])
        await encoder.settle()

        with pytest.raises(InputTooLong, match="input 2 has 6 tokens") as refused:
            _ = (await encoder.encode(["a", "b", "far too many words"])).vectors

    assert refused.value.index == 2


async def test_what_a_caller_writes_into_its_rows_is_not_kept() -> None:
    async with cached(CountingEncoder()) as encoder:
        for _ in range(3):
            (await encoder.encode(["a"])).rows[:] = 0
            await encoder.settle()

        assert await same_as_bare(await encoder.encode(["a"]), ["a"])


class StuckCache(MemoryCache):
    """Never done with a write."""

    async def put_many(self, entries: Mapping[bytes, bytes]) -> Stored:
        await asyncio.Event().wait()
        return Stored()


async def test_a_write_that_hangs_holds_up_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.encoders.cached.PENDING_BYTES", 8 * 768 * 4)
    monkeypatch.setattr("gateway.encoders.cached.CLOSING_SECONDS", 0.05)
    events: list[Event] = []
    encoder = CachedEncoder(
        CountingEncoder(), StuckCache(max_bytes=1_000_000), "space", sink=events.append
    )
    for n in range(10):
        assert await same_as_bare(await encoder.encode([f"text {n}"]), [f"text {n}"])
    await encoder.aclose()

    assert events.count(CacheFailed("memory", "write", "full", 1)) == 2


async def test_an_encoder_that_cannot_count_keeps_nothing_and_answers() -> None:
    class Silent(GatedEncoder):
        async def count_tokens(self, texts: Sequence[str]) -> list[int]:
            raise UpstreamUnavailable("down", service="tei")

    cache, events = KeptCache(), list[Event]()
    encoder = CachedEncoder(
        Silent(counts=False, open_gate=True), cache, "space", sink=events.append
    )
    assert await same_as_bare(await encoder.encode(["a", "b"]), ["a", "b"], size=32)
    await encoder.aclose()

    assert cache.entries == {}
    assert events[-1] == CacheFailed("memory", "write", "upstream-unavailable", 2)


async def test_events_tell_hits_misses_and_bytes() -> None:
    events: list[Event] = []
    encoder = CachedEncoder(
        CountingEncoder(), MemoryCache(max_bytes=1_000_000), "space", sink=events.append
    )
    await encoder.encode(["a", "b"])
    await encoder.settle()
    await encoder.encode(["a", "b", "c"])
    await encoder.settle()

    assert [event for event in events if isinstance(event, CacheRead)] == [
        CacheRead("memory", 0, 2),
        CacheRead("memory", 2, 1),
    ]
    written = [event for event in events if isinstance(event, CacheWritten)]
    assert [(event.entries, event.evicted) for event in written] == [(2, 0), (1, 0)]
    assert written[1].held_bytes == (written[0].held_bytes or 0) * 3 // 2
    await encoder.aclose()


async def test_an_entry_is_the_row_bit_by_bit() -> None:
    row = np.random.default_rng(5).normal(size=768).astype(np.float32)
    key = text_key(space_key("s", INFO) or b"", "text \ud800")
    found = unpack(key, pack(key, row, 17), 768)

    assert found is not None
    kept = rows_of([found[0]], 768)
    np.testing.assert_array_equal(kept[0], row)
    assert found[1] == 17
    assert len(pack(key, row, 17)) == 16 + 3_072
    np.testing.assert_array_equal(shorten(kept, 128), shorten(row[None], 128))
