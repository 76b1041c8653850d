"""Several replicas over real HTTP: balance, failover, ejection and return, lanes, hedges."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.errors import (
    ConfigurationError,
    DegenerateVector,
    UnsupportedServer,
    UpstreamOverloaded,
    UpstreamUnavailable,
)
from gateway.events import Event, Hedged, ReplicaChanged, UpstreamRetried, WindowChanged
from gateway.modelserver.faults import FaultKind
from gateway.ports import Lane
from gateway.tei.hedge import FEWEST
from gateway.tei.identity import GoldenCheck
from gateway.tei.line import Limits
from gateway.tei.pool import QUERY_AWAY_SECONDS
from tests.support.tei_pools import EXPECT, Opened, eventually, pool_of, unit_rows
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

TEXTS = [f"text number {number}" for number in range(200)]


async def test_a_long_call_is_shared_by_all_replicas() -> None:
    stubs = [TEIStub(latency=0.02, max_client_batch_size=8) for _ in range(3)]
    with stubs[0], stubs[1], stubs[2]:
        async with pool_of(*stubs) as pool:
            rows, _ = await pool.embed(TEXTS, Lane.INGEST)
            served = [sum(n for _, n in stub.log.requests if n > 1) for stub in stubs]
    assert rows.tobytes() == (await unit_rows(TEXTS)).tobytes()
    assert sum(served) == len(TEXTS)  # requests of one input are probes
    assert min(served) > len(TEXTS) / 3 / 2


@pytest.mark.parametrize("kind", ["reset", "unhealthy", "half-body", "bad-gateway"])
async def test_a_replica_that_fails_is_left_out_at_once_and_its_work_done_by_the_other(
    kind: FaultKind,
) -> None:
    events: list[Event] = []
    with TEIStub() as ill, TEIStub() as well:
        async with pool_of(ill, well, events=events) as pool:
            await pool.embed(["warm", "up"])
            ill.fail(kind, times=None)
            ill.fail(kind, times=None, path="/info")
            for number in range(20):
                await pool.embed([f"text {number}"])
            changes = [event for event in events if isinstance(event, ReplicaChanged)]
            left_out = [event for event in changes if event.state == "open"]
            assert {event.where for event in left_out} == {ill.url}
            assert left_out[0].reason
            assert len(ill.log.requests) < 12
            ill.heal()
            await eventually(lambda: all(one.ready for one in pool.pool.replicas))
            before = len(ill.log.requests)
            await pool.embed(TEXTS, Lane.INGEST)
            assert len(ill.log.requests) > before


async def test_a_dead_replica_comes_back_without_being_asked_by_anybody() -> None:
    dying, well = TEIStub(), TEIStub()
    with well:
        async with pool_of(dying, well) as pool:
            with dying:
                await pool.embed(TEXTS, Lane.INGEST)
            for number in range(200):  # chance says who is asked
                await pool.embed([f"text {number}"])
                if len(pool.pool.ready()) == 1:
                    break
            assert [one.where for one in pool.pool.ready()] == [well.url]
            with dying:
                await eventually(lambda: len(pool.pool.ready()) == 2)


async def test_a_failed_inference_is_repeated_on_the_other_replica() -> None:
    with TEIStub() as one, TEIStub() as two:
        async with pool_of(one, two) as pool:
            await pool.embed(TEXTS, Lane.INGEST)
            asked = [stub.log.paths.count("/v1/embeddings") for stub in (one, two)]
            one.fail("backend", times=None)
            two.fail("backend", times=None)
            with pytest.raises(UpstreamUnavailable, match="out of memory"):
                await pool.embed(["a"])
            more = [stub.log.paths.count("/v1/embeddings") for stub in (one, two)]
            assert [m - a for m, a in zip(more, asked, strict=True)] == [2, 2]  # text and probe


async def test_a_bad_row_is_made_again_once_by_the_other_replica() -> None:
    texts = ["a", "b", "c"]
    with TEIStub() as one, TEIStub() as two:
        async with pool_of(one, two) as pool:
            await pool.embed(TEXTS, Lane.INGEST)
            for stub in (one, two):
                stub.fail("null", times=1)
            encoding = await pool.encode(texts)
            assert list(encoding.refused) == [1]
            assert isinstance(encoding.refused[1], DegenerateVector)
            rows, tokens = await pool.embed(texts)
            assert rows.tobytes() == (await unit_rows(texts)).tobytes()
            one.fail("zero", times=None)
            for _ in range(8):
                rows, tokens = await pool.embed(texts)
                assert rows.tobytes() == (await unit_rows(texts)).tobytes()
                assert tokens == 9


async def test_replicas_that_disagree_are_not_mixed() -> None:
    async def other_rows(texts: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return await unit_rows([f"other {text}" for text in texts])

    with TEIStub() as one, TEIStub(encoder=other_rows) as two:  # pyright: ignore[reportArgumentType]
        async with pool_of(one, two) as pool:
            await pool.pool.replicas[0].meet()
            with pytest.raises(UnsupportedServer, match=r"disagrees.*cosine"):
                await pool.pool.replicas[1].meet()
            rows, _ = await pool.embed(TEXTS, Lane.INGEST)
            assert rows.tobytes() == (await unit_rows(TEXTS)).tobytes()
            assert one.url in str(pool.pool.replicas[1].error)


async def test_a_server_that_does_not_reproduce_the_model_card_is_refused() -> None:
    rows = await unit_rows(["which planet", "mars", "venus"])
    right = GoldenCheck(
        "which planet", ("mars", "venus"), 768, tuple((rows[1:] @ rows[0]).tolist())
    )
    wrong = replace(right, similarities=(0.9, 0.1))
    with TEIStub(max_client_batch_size=2) as stub:
        async with pool_of(stub, expect=replace(EXPECT, goldens=(right,))) as pool:
            await pool.embed(["a"])
        async with pool_of(stub, expect=replace(EXPECT, goldens=(right, wrong))) as pool:
            with pytest.raises(UnsupportedServer, match="worked example"):
                await pool.embed(["a"])


async def test_somebody_is_told_of_servers_that_went_away_long_before_an_ingest_gives_up() -> None:
    stub = TEIStub()
    async with pool_of(stub, limits=Limits(timeout_seconds=60.0)) as pool:
        with stub:
            await pool.embed(["a"])
        ingest = asyncio.create_task(pool.embed(["b"], Lane.INGEST))
        async with asyncio.timeout(QUERY_AWAY_SECONDS + 10):
            with pytest.raises(UpstreamUnavailable):
                await pool.embed(["a"])
        assert not ingest.done()
        with stub:
            await ingest


async def test_with_every_replica_wrong_the_caller_is_told_what_to_mend() -> None:
    with TEIStub(model_dtype="float16") as one, TEIStub(model_id="BAAI/bge-m3") as two:
        async with pool_of(one, two) as pool:
            with pytest.raises(ConfigurationError, match=r"float16|bge-m3"):
                await pool.embed(["a"])


async def test_with_every_replica_away_or_wrong_the_caller_hears_of_each() -> None:
    away = TEIStub()
    with TEIStub(model_dtype="float16") as wrong:
        async with pool_of(away, wrong) as pool:
            with pytest.raises(UpstreamUnavailable) as caught:
                await pool.embed(["a"])
    assert away.url in str(caught.value)
    assert "float16" in str(caught.value)
    assert caught.value.retry_after_seconds is not None


async def test_a_server_that_others_fill_gets_what_fits() -> None:
    """Ten permits, eight of them taken by somebody else: only small requests ever get in."""
    with TEIStub("1.9.3", max_concurrent_requests=10) as stub:
        async with crowded(stub, seconds=600.0) as (pool, crowd):
            rows, _ = await pool.embed(TEXTS[:9])
            assert not any(task.done() for task in crowd)
            for task in crowd:
                task.cancel()
    assert rows.tobytes() == (await unit_rows(TEXTS[:9])).tobytes()


async def test_a_server_that_lets_batches_wait_serves_one_when_the_others_are_done() -> None:
    with TEIStub("1.8.3", max_concurrent_requests=10) as stub:
        async with crowded(stub, seconds=0.5) as (pool, crowd):
            rows, _ = await pool.embed(TEXTS[:9])
            await asyncio.gather(*crowd)
    assert rows.tobytes() == (await unit_rows(TEXTS[:9])).tobytes()


@asynccontextmanager
async def crowded(
    stub: TEIStub, *, seconds: float
) -> AsyncGenerator[tuple[Opened, list[asyncio.Task[Any]]]]:
    """A pool over a server where somebody else's eight requests work for `seconds`."""
    limits = Limits(timeout_seconds=600.0, read_timeout_seconds=600.0)
    async with pool_of(stub, limits=limits) as pool, pool_of(stub, limits=limits) as other:
        await pool.replica.meet()
        await other.replica.meet()
        stub.fail("slow", times=8, seconds=seconds)
        crowd = [asyncio.create_task(other.embed([f"crowd {n}"])) for n in range(8)]
        await eventually(lambda: stub.most_inputs_in_flight == 8)
        yield pool, crowd


async def test_a_full_server_is_flow_control_until_the_deadline() -> None:
    events: list[Event] = []
    with TEIStub() as stub:
        async with pool_of(stub, events=events, limits=Limits(timeout_seconds=120.0)) as pool:
            await pool.replica.meet()
            stub.fail("overloaded", times=12)
            rows, _ = await pool.embed(TEXTS[:64], Lane.INGEST)
            assert rows.tobytes() == (await unit_rows(TEXTS[:64])).tobytes()
        sizes = [event.inputs for event in events if isinstance(event, WindowChanged)]
        assert sizes[0] == 512
        assert min(sizes) < 512
        async with pool_of(stub, limits=Limits(timeout_seconds=2.0)) as pool:
            await pool.replica.meet()
            stub.fail("overloaded", times=None)
            with pytest.raises(UpstreamOverloaded) as caught:
                await pool.embed(["a", "b"])
    assert caught.value.retry_after_seconds is not None


async def test_a_query_passes_an_ingest_that_fills_the_server() -> None:
    with TEIStub(latency=0.05, max_concurrent_requests=64, max_client_batch_size=8) as stub:
        async with pool_of(stub) as pool:
            await pool.replica.meet()
            asked = len(stub.log.requests)
            ingest = asyncio.create_task(pool.embed(TEXTS * 8, Lane.INGEST))
            await eventually(lambda: len(stub.log.requests) > asked + 4)
            before = len(stub.log.requests)
            await pool.embed(["a query"], Lane.QUERY)
            passed = len(stub.log.requests) - before
            assert not ingest.done()
            await ingest
    assert passed <= 2 * 64 / 8


async def test_the_pause_that_a_proxy_asks_for_is_kept() -> None:
    events: list[Event] = []
    with TEIStub() as stub:
        async with pool_of(stub, events=events) as pool:
            await pool.replica.meet()
            stub.fail("retry-after", seconds=1.0)
            started = time.monotonic()
            await pool.embed(["a"])
    assert time.monotonic() - started >= 1.0
    assert [event.slug for event in events if isinstance(event, UpstreamRetried)] == [
        "upstream-overloaded"
    ]


async def test_a_late_query_is_asked_of_a_second_replica_and_the_first_answer_counts() -> None:
    events: list[Event] = []
    with TEIStub() as one, TEIStub() as two:
        async with pool_of(one, two, events=events, hedge=True) as pool:
            for number in range(FEWEST + 80):
                await pool.embed([f"warm {number}"])
            events.clear()
            one.fail("slow", times=None, seconds=1.0)
            for number in range(100):  # chance says who is asked, and a second question is earned
                rows, _ = await pool.embed([f"text {number}"])
                assert rows.tobytes() == (await unit_rows([f"text {number}"])).tobytes()
                if any(isinstance(event, Hedged) and event.won for event in events):
                    return
    pytest.fail("no second replica answered first")


async def test_an_ingest_is_never_hedged() -> None:
    events: list[Event] = []
    with TEIStub() as one, TEIStub() as two:
        async with pool_of(one, two, events=events, hedge=True) as pool:
            for number in range(FEWEST + 5):
                await pool.embed([f"warm {number}"])
            events.clear()
            one.fail("slow", times=3, seconds=0.2)
            two.fail("slow", times=3, seconds=0.2)
            await pool.embed(TEXTS, Lane.INGEST)
    assert not [event for event in events if isinstance(event, Hedged)]
