"""A server that drifts behind a connection that stays open is left out by the next canary."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from gateway.domain.recording import Recorded, Recording
from gateway.domain.vectors import Matrix
from gateway.embedding.canaries import LONG_TOKENS, canary_texts, long_canary
from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_300M
from gateway.encoders.local import LocalEncoder
from gateway.encoders.tei import Expectation, TEIEncoder, Wiring
from gateway.errors import UnsupportedServer, UpstreamError
from gateway.events import CanaryFinished, Event, ReplicaChanged
from gateway.modelserver.faults import FaultKind
from gateway.observability.metrics import Metrics
from gateway.ports import Lane
from gateway.tei.breaker import FAILURES
from gateway.tei.canary import RECONNECT_SECONDS, Canary
from gateway.tei.examiner import LONG_TURNS, RECORDED_AT_ONCE, part_of
from gateway.tei.replica import CANARY_INPUTS
from tests.support.tei_pools import EXPECT, Opened, eventually, pool_of, unit_rows
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

CANARIES = canary_texts(EMBEDDING_GEMMA_300M)
LONG = long_canary(EMBEDDING_GEMMA_300M)
WATCHED = replace(EXPECT, canaries=CANARIES)
DRIFTS: list[FaultKind] = [
    *("other-model", "swapped", "null", "zero", "unnormalised", "short-rows"),
    "tokenizer",  # known texts are refused
]


def canary_over(pool: Opened, events: list[Event]) -> Canary:
    return Canary(lambda: pool.pool.replicas, seconds=300, sink=events.append)


@pytest.mark.parametrize("kind", DRIFTS)
async def test_a_replica_that_drifts_is_left_out_and_the_other_serves_on(kind: FaultKind) -> None:
    events: list[Event] = []
    with TEIStub() as drifting, TEIStub() as well:
        async with pool_of(drifting, well, expect=WATCHED, events=events) as pool:
            canary = canary_over(pool, events)
            first, second = pool.pool.replicas
            for replica in (first, second):
                await replica.meet()
                found = await canary.probe(replica)
                assert found is not None
                assert (found.outcome, found.inputs) == ("ok", len(CANARIES))
                assert found.tokens > 0
            connections = first.client.connections
            drifting.fail(kind, times=None)
            found = await canary.probe(first)
            assert found is not None
            assert found.outcome == "drift"
            assert drifting.url in found.reason
            assert first.client.connections == connections  # nothing but the vectors told
            assert not first.ready
            assert first.client.known is None
            assert [one.where for one in pool.pool.ready()] == [well.url]
            texts = [f"text {number}" for number in range(40)]
            rows, _ = await pool.embed(texts, Lane.INGEST)
            assert rows.tobytes() == (await unit_rows(texts)).tobytes()
            assert await canary.probe(first) is None  # its trials ask it
            with pytest.raises(UnsupportedServer):
                await first.meet()
            drifting.heal()
            await eventually(lambda: first.ready)
    states = [(e.where, e.state) for e in events if isinstance(e, ReplicaChanged)]
    assert (drifting.url, "open") in states
    assert all(where == drifting.url for where, state in states if state != "closed")


@pytest.mark.parametrize("checkpoint", ["tiny_gemma", "square_gemma"])
async def test_a_replica_without_its_dense_layers_is_left_out(
    checkpoint: str, request: pytest.FixtureRequest
) -> None:
    """The square checkpoint has vectors of the same size with and without: only their values tell."""
    events: list[Event] = []
    folder: Path = request.getfixturevalue(checkpoint)
    encoder = await LocalEncoder.load(str(folder), device="cpu", dtype="float32")
    ids = ("tests/tiny-embeddinggemma",)
    expect = replace(WATCHED, model_ids=ids, size=encoder.info.size)
    options: dict[str, Any] = {"encoder": encoder, "model_id": "tests/tiny-embeddinggemma"}
    with TEIStub(**options) as drifting, TEIStub(**options) as well:
        async with pool_of(drifting, well, expect=expect, events=events) as pool:
            canary = canary_over(pool, events)
            first, second = pool.pool.replicas
            await first.meet()
            await second.meet()
            drifting.fail("no-dense", times=None)
            found = [await canary.probe(one) for one in (first, second)]
            assert [one.outcome for one in found if one] == ["drift", "ok"]
            assert pool.pool.ready() == [second]
    await encoder.aclose()


async def test_a_server_that_does_not_answer_has_not_drifted() -> None:
    events: list[Event] = []
    with TEIStub() as stub:
        async with pool_of(stub, expect=WATCHED) as pool:
            canary = canary_over(pool, events)
            await pool.replica.meet()
            stub.fail("overloaded", times=1)
            found = await canary.probe(pool.replica)
            assert found is not None
            assert found.outcome == "unanswered"
            assert pool.replica.ready


@pytest.mark.parametrize("kind", ["not-json", "too-few", "same-index", "backend"])
async def test_a_replica_that_only_gives_broken_answers_is_left_out(kind: FaultKind) -> None:
    events: list[Event] = []
    with TEIStub() as stub:
        async with pool_of(stub, expect=WATCHED, events=events) as pool:
            canary, replica = canary_over(pool, events), pool.replica
            await replica.meet()
            for turns in (FAILURES - 1, FAILURES):  # the turn between starts the count anew
                stub.fail(kind, times=None, path="/v1/embeddings")
                for _ in range(turns):
                    found = await canary.probe(replica)
                    assert found is not None
                    assert found.outcome == "unanswered"
                assert replica.ready is (turns < FAILURES)
                if not replica.ready:
                    with pytest.raises(UpstreamError):
                        await replica.health()
                stub.heal()
                await eventually(lambda: replica.ready)
                found = await canary.probe(replica)
                assert found is not None
                assert found.outcome == "ok"


async def test_the_watch_outlives_an_error_that_nobody_expected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[Event] = []
    with TEIStub() as stub, TEIStub() as well:
        async with pool_of(stub, well, expect=WATCHED) as pool:
            canary = Canary(lambda: pool.pool.replicas, seconds=0.01, sink=events.append)
            for one in pool.pool.replicas:
                await one.meet()

            async def fails(turn: int) -> NoReturn:
                raise ValueError("secret text")

            with monkeypatch.context() as patched:
                patched.setattr(pool.replica.client, "repeat", fails)
                task = asyncio.create_task(canary.watch())
                await eventually(lambda: len(outcomes(events, stub.url)) >= 2)
                await eventually(lambda: "ok" in outcomes(events, well.url))
            await eventually(lambda: "ok" in outcomes(events, stub.url))
            task.cancel()
    runs = [e for e in events if isinstance(e, CanaryFinished) and e.outcome != "ok"]
    assert {(run.where, run.outcome) for run in runs} == {(stub.url, "unanswered")}
    assert all("ValueError" in run.reason and "secret" not in run.reason for run in runs)


def outcomes(events: Sequence[Event], where: str) -> list[str]:
    return [e.outcome for e in events if isinstance(e, CanaryFinished) and e.where == where]


async def test_a_recording_comes_up_part_by_part() -> None:
    texts = [f"recorded {number}" for number in range(RECORDED_AT_ONCE + 1)]
    rows = await unit_rows(texts)
    with TEIStub() as stub:
        async with pool_of(stub) as pool:
            tokens = await pool.pool.tokens(texts)
            items = [
                Recorded("query", text, None, text, tuple(one.id for one in read), row)
                for text, read, row in zip(texts, tokens, rows, strict=True)
            ]
            recording = Recording("test:0", "model", 768, {}, items)
        seen = {
            item.text
            for turn in range(2)
            if (part := part_of(recording, turn)) is not None
            for item in part.items
        }
        assert seen == set(texts)
        async with pool_of(stub, expect=replace(EXPECT, recording=recording)) as pool:
            await pool.replica.meet()
            assert (await pool.replica.repeat(0)).inputs == RECORDED_AT_ONCE
            stub.fail("other-model", times=None)
            with pytest.raises(UnsupportedServer, match="recorded text"):
                await pool.replica.repeat(1)


async def test_a_batch_of_equal_lengths_that_changes_vectors_is_a_warning() -> None:
    async def skips_the_window(texts: Sequence[str]) -> Matrix:
        """What TEI does with long texts of one length: full attention, only in a batch."""
        rows = await unit_rows(texts)
        away = await unit_rows([f"elsewhere {text}" for text in texts])
        alike = len(texts) > 1 and len(set(map(len, texts))) == 1 and len(texts[0]) > 1_000
        return (rows + (0.1 * away if alike else 0)).astype(np.float32)

    events: list[Event] = []
    expect = replace(WATCHED, long_canary=LONG)
    with TEIStub(encoder=skips_the_window) as stub, TEIStub() as well:
        async with pool_of(stub, well, expect=expect, events=events) as pool:
            canary = canary_over(pool, events)
            for one in pool.pool.replicas:
                await one.meet()
            uneven, even = [await canary.probe(one) for one in pool.pool.replicas]
            assert uneven is not None
            assert even is not None
            assert (uneven.outcome, even.outcome) == ("uneven", "ok")
            assert "257" in uneven.reason
            assert uneven.inputs == len(CANARIES) + 5
            assert all(one.ready for one in pool.pool.replicas)
            for _ in range(LONG_TURNS - 1):
                found = await canary.probe(pool.replica)
                assert found is not None
                assert found.inputs == len(CANARIES) <= CANARY_INPUTS


async def test_it_asks_in_turn_and_soon_after_a_new_connection() -> None:
    events: list[Event] = []
    spells: list[float] = []
    with TEIStub() as stub:
        async with pool_of(stub, expect=WATCHED) as pool:
            canary = Canary(lambda: pool.pool.replicas, seconds=60, sink=events.append)
            await pool.replica.meet()

            async def pause(seconds: float) -> None:
                spells.append(seconds)
                if len(spells) > 9:
                    raise asyncio.CancelledError

            with pytest.raises(asyncio.CancelledError):
                await canary.watch(pause)
    runs = [event for event in events if isinstance(event, CanaryFinished)]
    assert max(spells) <= RECONNECT_SECONDS * 1.2
    assert [run.outcome for run in runs] == ["ok"] * len(runs)
    assert 2 <= len(runs) <= 4  # at once, for its connection is new, and then every minute


async def test_the_encoder_runs_it_and_readiness_and_metrics_tell() -> None:
    metrics = Metrics()
    expect = Expectation(EXPECT.model_ids, 768, 2048, ("float32",), canaries=CANARIES)
    with TEIStub() as drifting, TEIStub() as well:
        encoder = await TEIEncoder.connect(
            [drifting.url, well.url],
            expect=expect,
            wiring=Wiring(canary_seconds=0.05),
            sink=metrics,
        )
        drifting.fail("swapped", times=None)
        await eventually(lambda: encoder.ready == [well.url])
        health = await encoder.health()
        assert health.ok
        assert f"TEI at {drifting.url} no longer gives the vectors" in health.detail
        page = metrics.render().decode()
        assert f'replica="{drifting.url}",service="tei"}} 1.0' in page.partition("canary_runs")[2]
        assert f'gateway_upstream_replica_up{{replica="{drifting.url}",service="tei"}} 0.0' in page
        await encoder.aclose()


def test_the_long_canary_is_longer_than_the_window_and_short_enough_for_the_model() -> None:
    assert 257 < len(LONG.split()) < LONG_TOKENS
    assert long_canary(ALL_MINILM_L6_V2) == ""


async def test_a_replica_that_was_restarted_is_asked_soon_and_not_in_its_turn() -> None:
    """`pause` stands for the time: the turn is 300 s away, the new connection is seen in seconds."""
    events: list[Event] = []
    spells: list[float] = []
    with TEIStub() as served:
        async with pool_of(served, expect=WATCHED, events=events) as pool:
            canary = canary_over(pool, events)
            (replica,) = pool.pool.replicas
            await replica.meet()
            await canary.probe(replica)

            async def pause(seconds: float) -> None:
                spells.append(seconds)
                if len(spells) == 2:
                    served.__exit__(None, None, None)  # the old process ends, a new one begins
                    served.__enter__()
                    await replica.client.verify(anew=True)
                if len(spells) == 4:
                    raise asyncio.CancelledError

            before = len([e for e in events if isinstance(e, CanaryFinished)])
            with pytest.raises(asyncio.CancelledError):
                await canary.watch(pause)
    asked = [event for event in events if isinstance(event, CanaryFinished)][before:]
    assert [event.outcome for event in asked] == ["ok"]
    assert max(spells) <= RECONNECT_SECONDS * 1.2
