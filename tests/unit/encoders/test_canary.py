"""The canary of an encoder that stands alone: readiness tells of a drift, and of its end."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from gateway.bootstrap import open_runtime
from gateway.domain.recording import Recorded, Recording
from gateway.domain.vectors import shorten
from gateway.encoders.canary import CanaryEncoder
from gateway.encoders.fake import FakeEncoder
from gateway.errors import InputTooLong, UpstreamError, UpstreamUnavailable
from gateway.events import CanaryFinished, Event
from gateway.ports import EncoderInfo, Encoding, Lane
from gateway.settings import load_settings
from gateway.tei.canary import RECONNECT_SECONDS
from gateway.tei.identity import Expectation, GoldenCheck
from tests.support.tei_pools import eventually

pytestmark = pytest.mark.anyio

TEXTS = ("which planet is red", "mars is red", "venus is not")
EXPECT = Expectation(("model",), 768, 2048, ("float32",), canaries=TEXTS)


class Model(FakeEncoder):
    """Says that it is a real model; what it does to its rows can be exchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.spoil: Callable[[Encoding], Encoding] = lambda encoding: encoding

    @property
    def info(self) -> EncoderInfo:
        return replace(super().info, variant="")

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        return self.spoil(await super().encode(texts, lane=lane))


def turned(encoding: Encoding) -> Encoding:
    return replace(encoding, rows=np.ascontiguousarray(encoding.rows[:, ::-1]))


def refusing(encoding: Encoding) -> Encoding:
    return replace(encoding, refused={0: InputTooLong("too long for a stub")})


def away(encoding: Encoding) -> Encoding:
    raise UpstreamUnavailable("nobody answers", service="openai")


def malformed(encoding: Encoding) -> Encoding:
    raise UpstreamError("answered a body that is not OpenAI's", service="openai")


def crashing(encoding: Encoding) -> Encoding:
    raise RuntimeError("secret text")


@asynccontextmanager
async def watched(
    model: Model, expect: Expectation = EXPECT, events: list[Event] | None = None
) -> AsyncGenerator[CanaryEncoder]:
    sink = [] if events is None else events
    encoder = CanaryEncoder(model, expect, seconds=3600, sink=sink.append)
    try:
        yield encoder
    finally:
        await encoder.aclose()


@pytest.mark.parametrize("spoil", [turned, refusing])
async def test_a_drift_makes_it_not_ready_until_it_is_over(
    spoil: Callable[[Encoding], Encoding],
) -> None:
    model, events = Model(), list[Event]()
    async with watched(model, events=events) as encoder:
        assert (await encoder.probe()).outcome == "ok"
        assert (await encoder.health()).ok
        model.spoil = spoil
        assert (await encoder.probe()).outcome == "drift"
        health = await encoder.health()
        assert not health.ok
        assert health.detail
        model.spoil = lambda encoding: encoding
        assert (await encoder.probe()).outcome == "ok"
        assert (await encoder.health()).ok
    outcomes = [event.outcome for event in events if isinstance(event, CanaryFinished)]
    assert outcomes[-3:] == ["ok", "drift", "ok"]


async def test_a_server_that_is_away_has_not_drifted() -> None:
    model = Model()
    async with watched(model) as encoder:
        await encoder.probe()
        model.spoil = away
        assert (await encoder.probe()).outcome == "unanswered"
        model.spoil = lambda encoding: encoding
        assert (await encoder.health()).ok


@pytest.mark.parametrize("spoil", [malformed, crashing])
async def test_three_turns_without_a_sound_answer_make_it_not_ready_until_one_comes(
    spoil: Callable[[Encoding], Encoding],
) -> None:
    model, events = Model(), list[Event]()
    async with watched(model, events=events) as encoder:
        await eventually(lambda: bool(events))  # the watch's own first turn
        for turns in (2, 3):  # the turn between starts the count anew
            model.spoil = spoil
            for _ in range(turns):
                assert (await encoder.probe()).outcome == "unanswered"
            health = await encoder.health()
            assert health.ok is (turns < 3)
            model.spoil = lambda encoding: encoding
            assert (await encoder.probe()).outcome == "ok"
            assert (await encoder.health()).ok
        assert "no sound answer 3 times" in health.detail


async def test_a_server_that_is_away_is_not_told_of_by_the_canary() -> None:
    model = Model()
    async with watched(model) as encoder:
        model.spoil = away
        for _ in range(4):
            await encoder.probe()
        assert (await encoder.health()).ok


async def test_the_watch_outlives_an_error_that_nobody_expected() -> None:
    model, events = Model(), list[Event]()
    model.spoil = crashing
    encoder = CanaryEncoder(model, EXPECT, seconds=0.01, sink=events.append)
    await eventually(lambda: len(events) >= 2)
    model.spoil = lambda encoding: encoding
    runs = [event for event in events if isinstance(event, CanaryFinished)]
    assert {run.outcome for run in runs} == {"unanswered"}
    assert "RuntimeError" in runs[0].reason
    assert "secret" not in runs[0].reason
    await eventually(
        lambda: isinstance(last := events[-1], CanaryFinished) and last.outcome == "ok"
    )
    await encoder.aclose()


async def test_the_model_card_and_a_recording_are_held_against_it() -> None:
    rows = shorten((await Model().encode(TEXTS)).vectors, 768)
    right = GoldenCheck(TEXTS[0], TEXTS[1:], 768, tuple((rows[1:] @ rows[0]).tolist()))
    recorded = Recorded("query", TEXTS[0], None, TEXTS[0], (1,), rows[0])
    recording = Recording("s", "model", 768, {}, [recorded])
    other = replace(recording, items=[replace(recorded, vector=rows[1])])
    for expect, told in (
        (replace(EXPECT, goldens=(right,), recording=recording), ""),
        (replace(EXPECT, goldens=(replace(right, similarities=(0.9, 0.9)),)), "model card"),
        (replace(EXPECT, recording=other), "recorded texts"),
    ):
        async with watched(Model(), expect) as encoder:
            found = await encoder.probe()
            assert found.outcome == ("drift" if told else "ok")
            assert told in found.reason


async def test_it_asks_again_in_each_turn_and_not_between() -> None:
    events: list[Event] = []
    waited = 0.0

    async def pause(seconds: float) -> None:
        nonlocal waited
        waited += seconds
        if waited > 3 * 3600:
            raise asyncio.CancelledError

    async with watched(Model(), events=events) as encoder:
        await encoder.probe()
        before = len(events)
        with pytest.raises(asyncio.CancelledError):
            await encoder.watch(pause)
    assert 3 <= len(events) - before <= 6, (
        "at once, and every 3,600 s after, a fifth earlier at most"
    )


async def test_settings_start_it_and_readiness_asks_it() -> None:
    layer = {"encoder": "fake", "store": "memory", "canary": {"seconds": 0.01}}
    async with open_runtime(load_settings(layer, environ={})) as runtime:
        told = b'gateway_canary_runs_total{outcome="ok"'
        await eventually(lambda: told in runtime.metrics.render())
        assert all(one.ok for one in await runtime.health())


async def test_it_asks_at_low_priority() -> None:
    lanes: list[Lane] = []

    class Noting(Model):
        async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
            lanes.append(lane)
            return await super().encode(texts, lane=lane)

    async with watched(Noting()) as encoder:
        await encoder.probe()
    assert set(lanes) == {Lane.INGEST}


async def test_after_a_reconnect_it_asks_again_long_before_its_turn() -> None:
    connections, spells = 1, list[float]()
    events: list[Event] = []
    encoder = CanaryEncoder(
        Model(), EXPECT, seconds=3600, connections=lambda: connections, sink=events.append
    )
    await encoder.aclose()  # its own watch; this one is told when to wake

    async def pause(seconds: float) -> None:
        nonlocal connections
        spells.append(seconds)
        await asyncio.sleep(0)
        if len(spells) == 3:
            connections += 1
        if len(spells) == 5:
            raise asyncio.CancelledError

    events.clear()
    with pytest.raises(asyncio.CancelledError):
        await encoder.watch(pause)
    assert max(spells) <= RECONNECT_SECONDS * 1.2
    assert len([event for event in events if isinstance(event, CanaryFinished)]) == 2
