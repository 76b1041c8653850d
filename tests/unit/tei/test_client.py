"""One replica over real HTTP: split, order, permits, retries, refusals, identity."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from gateway.domain.vectors import Matrix
from gateway.errors import (
    ConfigurationError,
    GatewayError,
    InputTooLong,
    InvalidText,
    UnsupportedServer,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Event, UpstreamCalled, UpstreamRetried, discard
from gateway.modelserver.faults import FaultKind
from gateway.tei.client import TEIClient
from gateway.tei.identity import Expectation
from gateway.tei.line import Limits
from tests.support.tei_stub import TEIStub, hashed_rows

pytestmark = pytest.mark.anyio

EXPECT = Expectation(("google/embeddinggemma-300m",), 768, 2048, ("float32",))
BOTH = pytest.mark.parametrize("version", ["1.8.3", "1.9.3"])


@asynccontextmanager
async def client_of(
    stub: TEIStub,
    *,
    limits: Limits | None = None,
    api_key: str | None = None,
    events: list[Event] | None = None,
) -> AsyncGenerator[TEIClient]:
    client = TEIClient(
        stub.url,
        expect=EXPECT,
        api_key=api_key,
        limits=limits or Limits(timeout_seconds=5.0, connect_timeout_seconds=1.0),
        sink=discard if events is None else events.append,
    )
    try:
        yield client
    finally:
        await client.aclose()


async def unit_rows(texts: Sequence[str]) -> Matrix:
    rows = await hashed_rows(texts)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return rows * (1.0 / norms).astype(np.float32)


@BOTH
async def test_many_texts_are_split_and_come_back_in_order_bit_for_bit(version: str) -> None:
    texts = [f"text number {index}" for index in range(75)]
    with TEIStub(version, max_client_batch_size=8) as stub:
        async with client_of(stub) as client:
            rows, tokens = await client.embed(texts)
        sizes = [count for path, count in stub.log.requests if path == "/v1/embeddings"]
    assert rows.tobytes() == (await unit_rows(texts)).tobytes()
    assert tokens == 75 * 5
    assert sorted(sizes[1:]) == [3, *[8] * 9]


async def test_bodies_stay_under_the_payload_limit() -> None:
    texts = [f"{index} " + "ж" * 3000 for index in range(20)]
    with TEIStub(payload_limit=30_000) as stub:
        async with client_of(stub, limits=Limits(payload_bytes=30_000)) as client:
            rows, _ = await client.embed(texts)
            assert 20_000 < stub.log.largest_body <= 30_000
            with pytest.raises(InputTooLong) as caught:
                await client.embed(["fits", "ж" * 15_000])
    assert len(rows) == 20
    assert caught.value.index == 1


async def test_a_smaller_payload_limit_than_assumed_is_found_by_halving() -> None:
    texts = [f"{index} " + "x" * 900 for index in range(16)]
    with TEIStub(payload_limit=4_000) as stub:
        async with client_of(stub) as client:
            rows, _ = await client.embed(texts)
            assert rows.tobytes() == (await unit_rows(texts)).tobytes()
            with pytest.raises(InputTooLong) as caught:
                await client.embed([*texts, "y" * 5_000])
    assert caught.value.index == 16


@BOTH
async def test_inputs_in_flight_never_exceed_the_permits_of_the_server(version: str) -> None:
    events: list[Event] = []
    with TEIStub(version, max_concurrent_requests=10, latency=0.01) as stub:
        async with client_of(stub, events=events) as client:
            await asyncio.gather(*(client.embed(["a b", "c", f"d {n}"]) for n in range(30)))
            await client.embed([f"long list {index}" for index in range(64)])
        assert 3 < stub.most_inputs_in_flight <= 10
    assert not [event for event in events if isinstance(event, UpstreamRetried)]


async def test_our_own_limit_in_flight_is_kept_below_the_servers() -> None:
    with TEIStub(latency=0.01) as stub:
        async with client_of(stub, limits=Limits(max_in_flight=4)) as client:
            await asyncio.gather(*(client.embed([f"one {n}"]) for n in range(20)))
        assert stub.most_inputs_in_flight == 4


@BOTH
@pytest.mark.parametrize(
    ("kind", "times", "slug"),
    [
        ("overloaded", 3, "upstream-overloaded"),
        ("unhealthy", 2, "upstream-unavailable"),
        ("bad-gateway", 1, "upstream-unavailable"),
        ("backend", 1, "upstream-unavailable"),
        ("reset", 2, "upstream-unavailable"),
        ("half-body", 1, "upstream-unavailable"),
    ],
)
async def test_a_passing_failure_is_retried_and_the_vectors_are_right(
    version: str, kind: FaultKind, times: int, slug: str
) -> None:
    events: list[Event] = []
    with TEIStub(version) as stub:
        async with client_of(stub, events=events) as client:
            await client.verify()
            stub.fail(kind, times=times)
            rows, _ = await client.embed(["a", "b"])
    assert rows.tobytes() == (await unit_rows(["a", "b"])).tobytes()
    retried = [event for event in events if isinstance(event, UpstreamRetried)]
    assert [event.slug for event in retried] == [slug] * times
    assert [event.attempt for event in retried] == list(range(1, times + 1))
    outcomes = [event.outcome for event in events if isinstance(event, UpstreamCalled)]
    assert outcomes.count(slug) == times
    assert outcomes[-1] == "ok"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded", UpstreamOverloaded),
        ("unhealthy", UpstreamUnavailable),
        ("reset", UpstreamUnavailable),
        ("half-body", UpstreamUnavailable),
    ],
)
async def test_a_lasting_failure_ends_at_the_deadline_with_advice(
    kind: FaultKind, expected: type[UpstreamError]
) -> None:
    with TEIStub() as stub:
        async with client_of(stub, limits=Limits(timeout_seconds=0.5)) as client:
            await client.verify()
            stub.fail(kind, times=None)
            with pytest.raises(expected, match=stub.url) as caught:
                async with asyncio.timeout(2.0):
                    await client.embed(["a"])
    assert type(caught.value) is expected
    assert caught.value.service == "tei"
    assert caught.value.retry_after_seconds is not None
    assert caught.value.retry_after_seconds >= 1.0


async def test_a_failed_inference_is_repeated_once_only() -> None:
    with TEIStub() as stub:
        async with client_of(stub) as client:
            await client.verify()
            asked = len(stub.log.paths)
            stub.fail("backend", times=None)
            with pytest.raises(UpstreamUnavailable, match="out of memory"):
                await client.embed(["a"])
        assert len(stub.log.paths) - asked == 2


@pytest.mark.parametrize("kind", ["too-few", "same-index", "not-json"])
async def test_a_wrong_answer_is_refused_and_not_repeated(kind: FaultKind) -> None:
    with TEIStub() as stub:
        async with client_of(stub) as client:
            await client.verify()
            asked = len(stub.log.paths)
            stub.fail(kind)
            with pytest.raises(UpstreamError):
                await client.embed(["a", "b", "c"])
        assert len(stub.log.paths) - asked == 1


async def test_items_are_put_in_order_by_their_index() -> None:
    texts = ["one", "two", "three"]
    with TEIStub() as stub:
        async with client_of(stub) as client:
            await client.verify()
            stub.fail("reversed")
            rows, _ = await client.embed(texts)
    assert rows.tobytes() == (await unit_rows(texts)).tobytes()


@pytest.mark.parametrize("kind", ["null", "zero", "short-rows"])
async def test_broken_vectors_reach_the_caller_as_they_are(kind: FaultKind) -> None:
    with TEIStub() as stub:
        async with client_of(stub) as client:
            await client.verify()
            stub.fail(kind)
            rows, _ = await client.embed(["a", "b", "c"])
    assert rows.shape == (3, 384 if kind == "short-rows" else 768)
    assert not np.isnan(rows[[0, 2]]).any()
    assert np.isnan(rows[1]).all() == (kind == "null")
    assert rows[1].any() == (kind != "zero")


async def test_a_silent_server_is_a_timeout_and_not_asked_again() -> None:
    with TEIStub() as stub:
        async with client_of(stub, limits=Limits(timeout_seconds=0.2)) as client:
            await client.verify()
            stub.fail("slow", seconds=1.0)
            asked = len(stub.log.paths)
            with pytest.raises(UpstreamTimeout, match="silent") as caught:
                await client.embed(["a"])
        assert caught.value.service == "tei"
        assert len(stub.log.paths) - asked == 1


@BOTH
@pytest.mark.parametrize("place", [0, 5, 31, 40])
async def test_the_guilty_input_of_a_batch_is_named(version: str, place: int) -> None:
    texts = [f"text {index}" for index in range(64)]
    texts[place] = "word " * 3000
    with TEIStub(version) as stub:
        async with client_of(stub) as client:
            await client.verify()
            asked = len(stub.log.requests)
            with pytest.raises(InputTooLong, match=r"less than 2048 tokens.*Given: 3002") as caught:
                await client.embed(texts)
        assert caught.value.index == place
        assert len(stub.log.requests) - asked <= 2 + 5


@BOTH
async def test_an_empty_text_is_refused_by_its_index_and_not_repeated(version: str) -> None:
    with TEIStub(version) as stub:
        async with client_of(stub) as client:
            with pytest.raises(InvalidText) as caught:
                await client.embed(["a", "b", ""])
    assert caught.value.index == 2


async def test_a_server_that_truncates_by_default_is_told_not_to() -> None:
    near = "word " * 2000
    with TEIStub(auto_truncate=True) as stub:
        async with client_of(stub) as client:
            rows, tokens = await client.embed(["short", near])
            assert rows.tobytes() == (await unit_rows(["short", near])).tobytes()
            assert tokens == 3 + 2002
            with pytest.raises(InputTooLong) as caught:
                await client.embed(["short", "word " * 2100])
            assert caught.value.index == 1
            await client.embed(["short"])
        assert [path for path, _ in stub.log.requests][1:] == [
            "/embed",
            "/embed",
            "/v1/embeddings",  # the short half, in search of the guilty one
            "/v1/embeddings",
        ]


async def test_tokens_are_counted_in_splits_without_truncation() -> None:
    texts = ["w " * count for count in (1, 5, 3000, 2)]
    with TEIStub(max_client_batch_size=2) as stub:
        async with client_of(stub) as client:
            assert await client.tokenize(texts) == [3, 7, 3002, 4]
            assert await client.tokenize(texts, add_special_tokens=False) == [1, 5, 3000, 2]
            assert await client.tokenize([]) == []


async def test_a_wrong_key_is_a_matter_for_the_operator() -> None:
    with TEIStub(api_key="right") as stub:
        async with client_of(stub, api_key="wrong") as client:
            with pytest.raises(ConfigurationError, match="key") as caught:
                await client.embed(["a"])
            assert "wrong" not in str(caught.value)
        async with client_of(stub, api_key="right") as client:
            assert (await client.embed(["a"]))[1] == 3


async def test_a_server_exchanged_behind_the_address_gives_no_vector() -> None:
    first = TEIStub()
    with first:
        client = TEIClient(first.url, expect=EXPECT, limits=Limits(timeout_seconds=2.0))
        await client.embed(["a"])
    other = TEIStub(port=first.port, model_id="BAAI/bge-small-en-v1.5")
    with other:
        with pytest.raises(UnsupportedServer, match="bge-small"):
            await client.embed(["a"])
        assert client.known is None
    with TEIStub("1.8.3", port=first.port, max_client_batch_size=2):
        rows, _ = await client.embed(["a", "b", "c"])
        assert rows.tobytes() == (await unit_rows(["a", "b", "c"])).tobytes()
        assert client.known is not None
        assert client.known.version == "1.8.3"
    await client.aclose()


async def test_an_exchange_while_connections_idle_is_seen_before_a_vector_leaves() -> None:
    """No error tells of it: the pool drops the dead connection and opens another in silence."""
    first = TEIStub()
    with first:
        client = TEIClient(first.url, expect=EXPECT, limits=Limits(timeout_seconds=2.0))
        await client.embed(["a"])
    await asyncio.sleep(0.1)
    with TEIStub(port=first.port, model_dtype="float16") as half:
        known = client.known
        assert known is not None
        with pytest.raises(UnsupportedServer, match="float16"):
            await client.embed(["a"])
        assert half.log.requests
    await client.aclose()


async def test_a_right_server_that_took_over_in_silence_is_asked_again() -> None:
    first = TEIStub()
    with first:
        client = TEIClient(first.url, expect=EXPECT, limits=Limits(timeout_seconds=2.0))
        await client.embed(["a"])
    await asyncio.sleep(0.1)
    with TEIStub(port=first.port, auto_truncate=True) as second:
        with pytest.raises(InputTooLong):
            await client.embed(["word " * 3000])
        assert {"/v1/embeddings", "/embed"} == {path for path, _ in second.log.requests}
    await client.aclose()


async def test_a_server_that_was_never_there_is_reported_at_once_and_used_when_it_comes() -> None:
    stub = TEIStub()
    async with client_of(stub, limits=Limits(timeout_seconds=30.0)) as client:
        async with asyncio.timeout(2.0):
            with pytest.raises(UpstreamUnavailable, match=stub.url):
                await client.embed(["a"])
        with stub:
            assert (await client.embed(["a"]))[0].shape == (1, 768)


async def test_a_restart_is_waited_for_and_a_lasting_absence_is_then_told_at_once() -> None:
    stub = TEIStub()
    async with client_of(stub, limits=Limits(timeout_seconds=3.0)) as client:
        with stub:
            await client.embed(["a"])

        async def restart() -> None:
            await asyncio.sleep(0.3)
            stub.__enter__()

        rows, _ = (await asyncio.gather(client.embed(["a"]), restart()))[0]
        assert rows.shape == (1, 768)
        stub.__exit__(None, None, None)
        with pytest.raises(UpstreamUnavailable):
            await client.embed(["a"], patience=0.2)
        async with asyncio.timeout(1.0):
            with pytest.raises(UpstreamUnavailable):
                await client.embed(["a"])


async def test_one_check_serves_all_who_wait_for_it() -> None:
    with TEIStub() as stub:
        async with client_of(stub) as client:
            await asyncio.gather(*(client.verify() for _ in range(10)))
        assert stub.log.paths == ["/info", "/v1/embeddings"]


async def test_a_cancelled_call_gives_its_inputs_back() -> None:
    with TEIStub() as stub:
        async with client_of(stub) as client:
            await client.verify()
            stub.fail("slow", seconds=0.5)
            call = asyncio.create_task(client.embed(["a", "b"]))
            await asyncio.sleep(0.1)
            assert client.load == 2
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert call.cancelled()
            assert client.load == 0
            await client.embed(["a"])


async def test_health_tells_ok_busy_and_down() -> None:
    with TEIStub() as stub:
        async with client_of(stub, limits=Limits(timeout_seconds=0.3)) as client:
            assert await client.health() == "ok"
            stub.fail("slow", path="/health", seconds=0.4)
            with pytest.raises(UpstreamTimeout, match="health"):
                await client.health()
            await client.embed(["a"])
            stub.fail("slow", path="/health", seconds=0.4)
            assert await client.health() == "busy"
            stub.fail("unhealthy", path="/health")
            with pytest.raises(UpstreamUnavailable):
                await client.health()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("tei:80", "http"),
        ("ftp://tei", "http"),
        ("http://", "http"),
        ("http://user:secret@tei", "key"),
        ("http://tei:port", "URL"),
    ],
)
async def test_an_address_that_is_none_is_refused(url: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        TEIClient(url)
    assert "secret" not in str(caught.value)


async def test_every_failure_is_one_of_our_errors() -> None:
    kinds: list[FaultKind] = ["overloaded", "reset", "half-body", "not-json", "tokenizer", "slow"]
    with TEIStub() as stub:
        async with client_of(stub, limits=Limits(timeout_seconds=0.15)) as client:
            for kind in kinds:
                stub.fail(kind, times=None)
                with pytest.raises(GatewayError):
                    await client.embed(["a"] * 40)
                stub.heal()
                await client.embed(["a"])
