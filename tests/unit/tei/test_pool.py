"""A pool of one replica over real HTTP: batches, order, permits, retries, refusals, identity."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.domain.vectors import Matrix
from gateway.errors import (
    ConfigurationError,
    DegenerateVector,
    GatewayError,
    InputTooLong,
    InvalidText,
    UnsupportedServer,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Event, UpstreamCalled, UpstreamRetried
from gateway.modelserver.contract import Refusal
from gateway.modelserver.faults import FaultKind
from gateway.tei.client import TEIClient
from gateway.tei.line import Limits
from tests.support.tei_pools import eventually, pool_of, unit_rows
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

BOTH = pytest.mark.parametrize("version", ["1.8.3", "1.9.3"])


@BOTH
async def test_many_texts_are_split_and_come_back_in_order_bit_for_bit(version: str) -> None:
    texts = [f"text number {index}" for index in range(75)]
    with TEIStub(version, max_client_batch_size=8) as stub:
        async with pool_of(stub) as pool:
            rows, tokens = await pool.embed(texts)
        sizes = [count for path, count in stub.log.requests if path == "/v1/embeddings"]
    assert rows.tobytes() == (await unit_rows(texts)).tobytes()
    assert tokens == 75 * 5
    assert sorted(size for size in sizes if size > 1) == [3, *[8] * 9]  # of 1: probes


async def test_bodies_stay_under_the_payload_limit() -> None:
    texts = [f"{index} " + "ж" * 3000 for index in range(20)]
    with TEIStub(payload_limit=30_000) as stub:
        async with pool_of(stub, limits=Limits(payload_bytes=30_000)) as pool:
            rows, _ = await pool.embed(texts)
            assert 20_000 < stub.log.largest_body <= 30_000
            with pytest.raises(InputTooLong) as caught:
                await pool.embed(["fits", "ж" * 15_000])
    assert len(rows) == 20
    assert caught.value.index == 1


async def test_a_smaller_payload_limit_than_assumed_is_found_by_halving() -> None:
    texts = [f"{index} " + "x" * 900 for index in range(16)]
    with TEIStub(payload_limit=4_000) as stub:
        async with pool_of(stub) as pool:
            rows, _ = await pool.embed(texts)
            assert rows.tobytes() == (await unit_rows(texts)).tobytes()
            with pytest.raises(InputTooLong) as caught:
                await pool.embed([*texts, "y" * 5_000])
    assert caught.value.index == 16


@BOTH
async def test_inputs_in_flight_never_exceed_the_permits_of_the_server(version: str) -> None:
    events: list[Event] = []
    with TEIStub(version, max_concurrent_requests=10, latency=0.01) as stub:
        async with pool_of(stub, events=events) as pool:
            await asyncio.gather(*(pool.embed(["a b", "c", f"d {n}"]) for n in range(30)))
            await pool.embed([f"long list {index}" for index in range(64)])
        assert 3 < stub.most_inputs_in_flight <= 10
    assert not [event for event in events if isinstance(event, UpstreamRetried)]


async def test_our_own_limit_in_flight_is_kept_below_the_servers() -> None:
    with TEIStub(latency=0.01) as stub:
        async with pool_of(stub, limits=Limits(max_in_flight=4)) as pool:
            await asyncio.gather(*(pool.embed([f"one {n}"]) for n in range(20)))
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
        async with pool_of(stub, events=events) as pool:
            await pool.replica.meet()
            stub.fail(kind, times=times)
            rows, _ = await pool.embed(["a", "b"])
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
        async with pool_of(stub, limits=Limits(timeout_seconds=2.0)) as pool:
            await pool.replica.meet()
            stub.fail(kind, times=None)
            with pytest.raises(expected, match=stub.url) as caught:
                async with asyncio.timeout(20):
                    await pool.embed(["a"])
    assert type(caught.value) is expected
    assert caught.value.service == "tei"
    assert caught.value.retry_after_seconds is not None
    assert caught.value.retry_after_seconds >= 1.0


async def test_a_failed_inference_is_repeated_once_only() -> None:
    with TEIStub() as stub:
        async with pool_of(stub) as pool:
            await pool.replica.meet()
            asked = len(stub.log.paths)
            stub.fail("backend", times=None)
            with pytest.raises(UpstreamUnavailable, match="out of memory"):
                await pool.embed(["a"])
        assert stub.log.paths[asked:] == [
            "/v1/embeddings",
            "/v1/embeddings",
            "/info",  # before the text is blamed, the server is tried out
            "/v1/embeddings",
        ]


@pytest.mark.parametrize("kind", ["too-few", "same-index", "not-json", "short-rows"])
async def test_a_broken_answer_is_repeated_once_and_never_believed(kind: FaultKind) -> None:
    texts = ["a", "b", "c"]
    events: list[Event] = []
    with TEIStub() as stub:
        async with pool_of(stub, events=events) as pool:
            await pool.replica.meet()
            stub.fail(kind)
            rows, _ = await pool.embed(texts)
            assert rows.tobytes() == (await unit_rows(texts)).tobytes()
    retried = [event.slug for event in events if isinstance(event, UpstreamRetried)]
    assert retried == ["upstream-error"]


@pytest.mark.parametrize("kind", ["too-few", "same-index", "not-json", "short-rows"])
async def test_a_server_that_stays_broken_is_an_error_and_left_out(kind: FaultKind) -> None:
    with TEIStub() as stub:
        async with pool_of(stub) as pool:
            await pool.embed(["a", "b", "c"])
            stub.fail(kind, times=None)
            for _ in range(3):
                with pytest.raises((UpstreamError, UnsupportedServer)):
                    await pool.embed(["a", "b", "c"])
            assert not pool.replica.ready
            stub.heal()
            await eventually(lambda: pool.replica.ready)


async def test_items_are_put_in_order_by_their_index() -> None:
    texts = ["one", "two", "three"]
    with TEIStub() as stub:
        async with pool_of(stub) as pool:
            await pool.replica.meet()
            stub.fail("reversed")
            rows, _ = await pool.embed(texts)
    assert rows.tobytes() == (await unit_rows(texts)).tobytes()


@pytest.mark.parametrize("kind", ["null", "zero"])
async def test_a_broken_vector_is_named_and_the_rest_is_kept(kind: FaultKind) -> None:
    texts = ["a", "b", "c"]
    with TEIStub() as stub:
        async with pool_of(stub) as pool:
            await pool.replica.meet()
            stub.fail(kind)
            encoding = await pool.encode(texts)
    assert list(encoding.refused) == [1]
    assert isinstance(encoding.refused[1], DegenerateVector)
    assert encoding.rows[[0, 2]].tobytes() == (await unit_rows(["a", "c"])).tobytes()
    with pytest.raises(DegenerateVector, match="input 1"):
        assert encoding.vectors.size


async def test_a_silent_server_is_a_timeout_and_not_asked_again() -> None:
    with TEIStub() as stub:
        async with pool_of(stub, limits=Limits(timeout_seconds=2.0)) as pool:
            await pool.replica.meet()
            stub.fail("slow", seconds=60.0)
            asked = len(stub.log.paths)
            with pytest.raises(UpstreamTimeout, match="silent") as caught:
                await pool.embed(["a"])
        assert caught.value.service == "tei"
        assert len(stub.log.paths) - asked == 1


@BOTH
@pytest.mark.parametrize("places", [[0], [5], [31, 40], [2, 3, 63]])
async def test_the_guilty_inputs_are_named_and_the_rest_is_encoded(
    version: str, places: list[int]
) -> None:
    texts = [f"text {index}" for index in range(64)]
    for place in places:
        texts[place] = "word " * 2100
    with TEIStub(version) as stub:
        async with pool_of(stub) as pool:
            await pool.replica.meet()
            encoding = await pool.encode(texts)
    assert sorted(encoding.refused) == places
    for place, error in encoding.refused.items():
        assert isinstance(error, InputTooLong)
        assert error.index == place
        assert "less than 2048 tokens" in str(error)
        assert "Given: 2102" in str(error)
    good = [place for place in range(64) if place not in places]
    expected = await unit_rows([texts[place] for place in good])
    assert encoding.rows[good].tobytes() == expected.tobytes()
    assert encoding.tokens == len(good) * 4


async def test_one_guilty_input_costs_a_request_for_each_halving() -> None:
    texts = [*(f"text {index}" for index in range(31)), "poison"]
    with TEIStub(encoder=unit_rows_without_poison) as stub:
        async with pool_of(stub) as pool:
            await pool.replica.meet()
            asked = len(stub.log.requests)
            encoding = await pool.encode(texts)
            assert list(encoding.refused) == [31]
            assert "CUDA" in str(encoding.refused[31])
            assert isinstance(encoding.refused[31], UpstreamRejected)
            good = sum(count for _, count in stub.log.requests[asked:])
    # 32, 16, 8, 4, 2 and 1 fail, each twice; the other halves pass at once; two probes
    assert len(stub.log.requests) - asked == 6 * 2 + 5 + 2
    assert good == 2 * 63 + 31 + 2


@BOTH
async def test_texts_that_cannot_be_sent_are_refused_without_asking(version: str) -> None:
    with TEIStub(version) as stub:
        async with pool_of(stub) as pool:
            encoding = await pool.encode(["a", "", "b", "\ud800"])
    assert sorted(encoding.refused) == [1, 3]
    for place, error in encoding.refused.items():
        assert isinstance(error, InvalidText)
        assert error.index == place
    assert encoding.rows[[0, 2]].tobytes() == (await unit_rows(["a", "b"])).tobytes()


async def test_a_server_that_truncates_by_default_is_told_not_to() -> None:
    near = "word " * 2000
    with TEIStub(auto_truncate=True) as stub:
        async with pool_of(stub) as pool:
            await pool.replica.meet()
            met = len(stub.log.requests)
            rows, tokens = await pool.embed(["short", near])
            assert rows.tobytes() == (await unit_rows(["short", near])).tobytes()
            assert tokens == 3 + 2002
            with pytest.raises(InputTooLong) as caught:
                await pool.embed(["short", "word " * 2100])
            assert caught.value.index == 1
            await pool.embed(["short"])
        paths = [path for path, _ in stub.log.requests[met:]]
    assert paths == ["/embed", "/embed", "/embed", "/v1/embeddings", "/v1/embeddings"]


async def test_tokens_are_counted_in_splits_without_truncation() -> None:
    texts = ["w " * count for count in (1, 5, 3000, 2)]
    with TEIStub(max_client_batch_size=2) as stub:
        async with pool_of(stub) as pool:
            assert await pool.tokenize(texts) == [3, 7, 3002, 4]
            assert await pool.tokenize(texts, specials=False) == [1, 5, 3000, 2]
            assert await pool.tokenize([]) == []


async def test_a_wrong_key_is_a_matter_for_the_operator() -> None:
    with TEIStub(api_key="right") as stub:
        async with pool_of(stub, api_key="wrong") as pool:
            with pytest.raises(ConfigurationError, match="key") as caught:
                await pool.embed(["a"])
            assert "wrong" not in str(caught.value)
        async with pool_of(stub, api_key="right") as pool:
            assert (await pool.embed(["a"]))[1] == 3


async def test_a_server_exchanged_behind_the_address_gives_no_vector() -> None:
    first = TEIStub()
    async with pool_of(first) as pool:
        with first:
            await pool.embed(["a"])
        with TEIStub(port=first.port, model_id="BAAI/bge-small-en-v1.5"):
            with pytest.raises(UnsupportedServer, match="bge-small"):
                await pool.embed(["a"])
            assert pool.replica.client.known is None
        with TEIStub("1.8.3", port=first.port, max_client_batch_size=2):
            rows, _ = await pool.embed(["a", "b", "c"])
            assert rows.tobytes() == (await unit_rows(["a", "b", "c"])).tobytes()
            assert pool.replica.client.known is not None
            assert pool.replica.client.known.version == "1.8.3"


async def test_an_exchange_while_connections_idle_is_seen_before_a_vector_leaves() -> None:
    """No error tells of it: the dead connection is dropped and another opened in silence."""
    first = TEIStub()
    async with pool_of(first) as pool:
        with first:
            await pool.embed(["a"])
        await asyncio.sleep(0.1)
        with TEIStub(port=first.port, model_dtype="float16") as half:
            assert pool.replica.client.known is not None
            with pytest.raises(UnsupportedServer, match="float16"):
                await pool.embed(["a"])
            assert half.log.requests


async def test_a_right_server_that_took_over_in_silence_is_asked_again() -> None:
    first = TEIStub()
    async with pool_of(first) as pool:
        with first:
            await pool.embed(["a"])
        await asyncio.sleep(0.1)
        with TEIStub(port=first.port, auto_truncate=True) as second:
            with pytest.raises(InputTooLong):
                await pool.embed(["word " * 2100])
            assert {"/v1/embeddings", "/embed"} == {path for path, _ in second.log.requests}


async def test_a_server_that_was_never_there_is_reported_at_once_and_used_when_it_comes() -> None:
    stub = TEIStub()
    async with pool_of(stub, limits=Limits(timeout_seconds=30.0)) as pool:
        async with asyncio.timeout(10):
            with pytest.raises(UpstreamUnavailable, match=stub.url):
                await pool.embed(["a"])
        with stub:
            assert (await pool.embed(["a"]))[0].shape == (1, 768)


async def test_a_restart_is_waited_for_and_a_lasting_absence_is_then_told_at_once() -> None:
    stub = TEIStub()
    async with pool_of(stub, limits=Limits(timeout_seconds=4.0)) as pool:
        with stub:
            await pool.embed(["a"])

        async def restart() -> None:
            await asyncio.sleep(0.3)
            stub.__enter__()

        rows, _ = (await asyncio.gather(pool.embed(["a"]), restart()))[0]
        assert rows.shape == (1, 768)
        stub.__exit__(None, None, None)
        with pytest.raises(UpstreamUnavailable):
            await pool.embed(["a"])
        async with asyncio.timeout(3.0):
            with pytest.raises(UpstreamUnavailable):
                await pool.embed(["a"])


async def test_one_check_serves_all_who_wait_for_it() -> None:
    with TEIStub() as stub:
        async with pool_of(stub) as pool:
            await asyncio.gather(*(pool.replica.meet() for _ in range(10)))
        assert stub.log.paths == ["/info", "/v1/embeddings", "/tokenize", "/v1/embeddings"]


async def test_a_cancelled_call_gives_its_inputs_back() -> None:
    with TEIStub() as stub:
        async with pool_of(stub) as pool:
            await pool.replica.meet()
            stub.fail("slow", seconds=60.0)
            asked = len(stub.log.requests)
            call = asyncio.create_task(pool.embed(["a", "b"]))
            await eventually(lambda: len(stub.log.requests) > asked)
            assert pool.replica.window.load == 2
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert call.cancelled()
            assert pool.replica.window.load == 0
            await pool.embed(["a"])


async def test_health_tells_ok_busy_and_down() -> None:
    with TEIStub() as stub:
        async with pool_of(stub, limits=Limits(timeout_seconds=2.0)) as pool:
            assert await pool.replica.client.health() == "ok"
            stub.fail("slow", path="/health", seconds=60.0)
            with pytest.raises(UpstreamTimeout, match="health"):
                await pool.replica.client.health()
            await pool.embed(["a"])
            stub.fail("slow", path="/health", seconds=60.0)
            assert await pool.replica.client.health() == "busy"
            stub.fail("unhealthy", path="/health")
            with pytest.raises(UpstreamUnavailable):
                await pool.replica.client.health()


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


async def unit_rows_without_poison(texts: Sequence[str]) -> Matrix:
    """A model that one text brings down."""
    if "poison" in texts:
        raise Refusal("Backend", "Backend error: CUDA error: an illegal memory access")
    return await unit_rows(texts)


async def test_every_failure_is_one_of_our_errors() -> None:
    kinds: list[FaultKind] = ["overloaded", "reset", "half-body", "not-json", "tokenizer", "slow"]
    with TEIStub() as stub:
        async with pool_of(stub, limits=Limits(timeout_seconds=1.5)) as pool:
            for kind in kinds:
                stub.fail(kind, times=None, seconds=60.0)
                with pytest.raises(GatewayError):
                    await pool.embed(["a"] * 40)
                stub.heal()
                await pool.embed(["a"])
