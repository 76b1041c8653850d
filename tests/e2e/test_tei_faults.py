"""Faults of the wire, one by one and all together: every text has its vector, and none is made twice.

Over made-up vectors, which are the same bits whatever batch they are made in.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest

from gateway.encoders.fake import FakeEncoder
from gateway.encoders.tei import DEFAULT_WIRING, Expectation, Limits, TEIEncoder, Wiring
from gateway.events import Event, ReplicaChanged, UpstreamCalled, UpstreamRetried, discard
from gateway.modelserver.faults import FaultKind
from gateway.ports import Lane
from tests.support.model_server import ModelServer
from tests.support.tei_pools import eventually
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

EXPECT = Expectation(("fake",), 768, 2048, ("float32",))
PASSING: list[FaultKind] = [
    "overloaded",
    "unhealthy",
    "backend",
    "bad-gateway",
    "retry-after",
    "reset",
    "stall",
    "slow",
    "slow-first-byte",
    "half-body",
    "not-json",
    "null",
    "zero",
    "short-rows",
    "too-few",
    "same-index",
    "reversed",
]
BEFORE_THE_WORK = {"overloaded", "unhealthy", "backend", "bad-gateway", "retry-after", "reset"}
"""Faults that come before a forward pass: repeating them computes nothing twice."""
LASTING: list[FaultKind] = ["unnormalised", "hidden-prompt"]


def texts_of(count: int) -> list[str]:
    return [
        f"text {n} of a longer list, {'word ' * (n % 23)}{n * 7919 % 10007}" for n in range(count)
    ]


async def expected_of(texts: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """What a healthy server answers, bit for bit."""
    rows = (await FakeEncoder().encode(texts)).vectors
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return rows * (1.0 / norms).astype(np.float32)


@asynccontextmanager
async def encoder_over(
    *urls: str, wiring: Wiring = DEFAULT_WIRING, events: list[Event] | None = None
) -> AsyncGenerator[TEIEncoder]:
    sink = discard if events is None else events.append
    encoder = await TEIEncoder.connect(urls, expect=EXPECT, wiring=wiring, sink=sink)
    try:
        yield encoder
    finally:
        await encoder.aclose()


@pytest.mark.parametrize("kind", PASSING)
async def test_no_fault_of_one_replica_costs_a_text_or_computes_one_twice(kind: FaultKind) -> None:
    texts = texts_of(1500)
    seconds = {"stall": 3600.0, "retry-after": 1.0}.get(kind, 0.05)
    wiring = Wiring(Limits(read_timeout_seconds=1.0)) if kind == "stall" else DEFAULT_WIRING
    with (
        TEIStub(encoder=FakeEncoder(), model_id="fake") as ill,
        TEIStub(encoder=FakeEncoder(), model_id="fake") as well,
    ):
        async with encoder_over(ill.url, well.url, wiring=wiring) as encoder:
            for _ in range(3):
                ill.fail(kind, times=1, seconds=seconds)
            encoding = await encoder.encode(texts, lane=Lane.INGEST)
            computed = ill.log.computed + well.log.computed
            played = 3 - len(ill.faults_left)
            probes = ill.log.paths.count("/info") + well.log.paths.count("/info")
    assert not encoding.refused
    assert encoding.rows.tobytes() == (await expected_of(texts)).tobytes()
    assert encoding.tokens == sum(await FakeEncoder().count_tokens(texts))
    assert played > 0
    spared = kind in BEFORE_THE_WORK | {"slow", "slow-first-byte", "reversed"}
    assert computed <= len(texts) + 2 * probes + (0 if spared else 32 * played)


@pytest.mark.parametrize("kind", LASTING)
async def test_a_replica_with_a_lasting_fault_is_left_out_with_the_reason(kind: FaultKind) -> None:
    texts = texts_of(300)
    with (
        TEIStub(encoder=FakeEncoder(), model_id="fake") as ill,
        TEIStub(encoder=FakeEncoder(), model_id="fake") as well,
    ):
        ill.fail(kind, times=None)
        async with encoder_over(ill.url, well.url) as encoder:
            encoding = await encoder.encode(texts, lane=Lane.INGEST)
            health = await encoder.health()
            assert {count for _, count in ill.log.requests} == {1}  # probes alone
    assert encoding.vectors.tobytes() == (await expected_of(texts)).tobytes()
    assert health.ok
    assert ill.url in health.detail
    assert "broken vector" in health.detail or "--default-prompt" in health.detail


async def test_replicas_of_two_models_are_never_mixed() -> None:
    texts = texts_of(300)
    with (
        TEIStub(encoder=FakeEncoder(), model_id="fake") as one,
        TEIStub(encoder=FakeEncoder(), model_id="fake") as other,
    ):
        other.fail("other-model", times=None)
        async with encoder_over(one.url, other.url) as encoder:
            rows = (await encoder.encode(texts, lane=Lane.INGEST)).vectors
            assert "disagrees" in (await encoder.health()).detail
            served = [len(stub.log.requests) > 3 for stub in (one, other)]
    assert sorted(served) == [False, True]
    right = rows.tobytes() == (await expected_of(texts)).tobytes()
    assert right == served[0]


async def test_twenty_thousand_texts_through_429_and_resets_are_the_same_bits_once_each() -> None:
    texts = texts_of(20_000)
    faults = ["--faults", "429:0.05,reset:0.01", "--seed", "7"]
    times: list[float] = []
    found: list[bytes] = []
    counted: list[dict[str, int]] = []
    seen: list[list[Event]] = [[], []]
    for extra, events in zip(([], faults), seen, strict=True):
        with ModelServer("--encoder", "fake", "--model-id-as", "fake", *extra) as server:
            async with encoder_over(server.url, events=events) as encoder:
                started = time.perf_counter()
                encoding = await encoder.encode(texts, lane=Lane.INGEST)
                times.append(time.perf_counter() - started)
            found.append(encoding.vectors.tobytes())
            counted.append(counters(server.url))
    assert found[0] == (await expected_of(texts)).tobytes()
    assert found[1] == found[0]
    errors = [event.slug for event in seen[1] if isinstance(event, UpstreamRetried)]
    assert errors.count("upstream-overloaded") >= 10
    assert errors.count("upstream-unavailable") >= 1
    for events, counters_then in zip(seen, counted, strict=True):
        probes = [
            event
            for event in events
            if isinstance(event, UpstreamCalled)
            and (event.operation, event.outcome) == ("probe", "ok")
        ]
        assert counters_then["inputs_computed"] == len(texts) + len(probes)
        assert len(probes) < 40
    assert times[1] < 3 * times[0] + 5


async def test_a_replica_killed_in_mid_run_costs_nothing_and_is_used_again_when_it_is_back() -> (
    None
):
    texts = texts_of(6_000)
    events: list[Event] = []
    options = ("--encoder", "fake", "--model-id-as", "fake", "--latency", "0.05")
    with ModelServer(*options) as dying, ModelServer(*options) as staying:
        async with encoder_over(dying.url, staying.url, events=events) as encoder:
            run = asyncio.create_task(encoder.encode(texts, lane=Lane.INGEST))
            await eventually(lambda: counters(dying.url)["inputs_computed"] > 200)
            assert not run.done()
            dying.kill()
            encoding = await run
            assert encoding.vectors.tobytes() == (await expected_of(texts)).tobytes()
            changes = [event for event in events if isinstance(event, ReplicaChanged)]
            assert [(e.where, e.state) for e in changes[2:3]] == [(dying.url, "open")]
            dying.start()
            await eventually(lambda: len(encoder.ready) == 2)
            await encoder.encode(texts[:600], lane=Lane.INGEST)
            assert counters(dying.url)["inputs_computed"] > 100


def counters(url: str) -> dict[str, int]:
    """The counters of a model server, by name."""
    page = httpx.get(f"{url}/metrics").text
    found = re.findall(r"^model_server_(\w+)_total (\S+)$", page, re.MULTILINE)
    return {name: int(float(value)) for name, value in found}
