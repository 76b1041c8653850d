"""Single flight: each text once while it is in flight, and exactly what the bare encoder answers."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.encoders.fake import FakeEncoder
from gateway.encoders.single_flight import SingleFlightEncoder
from gateway.errors import InputTooLong, InvalidText, UpstreamRejected, UpstreamUnavailable
from gateway.events import Event, InputsShared
from gateway.ports import Encoding, Lane
from tests.support.gated import GatedEncoder, turns

pytestmark = pytest.mark.anyio

TWO_WAYS = pytest.mark.parametrize("counts", [True, False], ids=["counts", "totals"])


def start(call: Coroutine[Any, Any, Encoding]) -> "asyncio.Task[Encoding]":
    return asyncio.create_task(call)


async def same_as_bare(encoding: Encoding, texts: Sequence[str]) -> bool:
    bare = await FakeEncoder(size=32).encode(texts)
    if encoding.counts is not None:
        assert list(encoding.counts) == list(bare.counts or [])
    return np.array_equal(encoding.rows, bare.rows) and encoding.tokens == bare.tokens


@TWO_WAYS
async def test_the_same_query_at_once_is_encoded_once(counts: bool) -> None:
    behind = GatedEncoder(counts=counts)
    events: list[Event] = []
    encoder = SingleFlightEncoder(behind, sink=events.append)

    asked = [start(encoder.encode(["which planet is red"])) for _ in range(64)]
    await turns()
    behind.calls[0].go.set()
    answers = await asyncio.gather(*asked)

    assert len(behind.calls) == 1
    assert behind.counted == []
    assert events == [InputsShared(1)] * 63
    for answer in answers:
        assert await same_as_bare(answer, ["which planet is red"])


@TWO_WAYS
async def test_duplicates_in_one_call_are_encoded_once_and_counted_each(counts: bool) -> None:
    behind = GatedEncoder(counts=counts, open_gate=True)
    texts = ["a b c", "d", "a b c", "e f", "d", "a b c"]

    answer = await SingleFlightEncoder(behind).encode(texts)

    assert [call.texts for call in behind.calls] == [["a b c", "d", "e f"]]
    assert await same_as_bare(answer, texts)
    assert behind.counted == ([] if counts else ["a b c", "d"])


@TWO_WAYS
async def test_a_call_follows_for_some_texts_and_leads_the_others(counts: bool) -> None:
    behind = GatedEncoder(counts=counts)
    encoder = SingleFlightEncoder(behind)

    first = start(encoder.encode(["one", "two words", "three"], lane=Lane.INGEST))
    await turns()
    second = start(encoder.encode(["four", "two words", "one"], lane=Lane.INGEST))
    await turns()
    assert [call.texts for call in behind.calls] == [["one", "two words", "three"], ["four"]]
    for call in behind.calls:
        call.go.set()

    assert await same_as_bare(await first, ["one", "two words", "three"])
    assert await same_as_bare(await second, ["four", "two words", "one"])


async def test_a_query_does_not_wait_for_an_ingest_of_its_text() -> None:
    behind = GatedEncoder()
    encoder = SingleFlightEncoder(behind)

    bulk = start(encoder.encode(["shared", "more"], lane=Lane.INGEST))
    await turns()
    query = start(encoder.encode(["shared"]))
    await turns()
    behind.calls[1].go.set()

    assert await same_as_bare(await query, ["shared"])
    assert not bulk.done()
    behind.calls[0].go.set()
    assert await same_as_bare(await bulk, ["shared", "more"])


async def test_an_ingest_follows_a_query_of_its_text() -> None:
    behind = GatedEncoder()
    encoder = SingleFlightEncoder(behind)

    query = start(encoder.encode(["shared"]))
    await turns()
    bulk = start(encoder.encode(["shared"], lane=Lane.INGEST))
    await turns()
    behind.calls[0].go.set()
    await asyncio.gather(query, bulk)

    assert len(behind.calls) == 1


async def test_when_the_leader_is_cancelled_one_follower_takes_over() -> None:
    behind = GatedEncoder()
    encoder = SingleFlightEncoder(behind)
    leader, *followers = [start(encoder.encode(["text"])) for _ in range(5)]
    await turns()

    leader.cancel()
    await turns()
    assert len(behind.calls) == 2
    behind.calls[1].go.set()

    for answer in await asyncio.gather(*followers):
        assert await same_as_bare(answer, ["text"])
    assert leader.cancelled()
    assert len(behind.calls) == 2


async def test_however_many_leaders_are_cancelled_the_text_is_in_flight_once() -> None:
    behind = GatedEncoder()
    encoder = SingleFlightEncoder(behind)
    asked = [start(encoder.encode(["text"])) for _ in range(8)]
    await turns()
    for leader in asked[:5]:
        leader.cancel()
        await turns()
    behind.calls[-1].go.set()

    for answer in await asyncio.gather(*asked[5:]):
        assert await same_as_bare(answer, ["text"])
    assert (len(behind.calls), behind.most_at_once) == (6, 1)


async def test_a_cancelled_follower_leaves_the_others_alone() -> None:
    behind = GatedEncoder()
    encoder = SingleFlightEncoder(behind)
    leader, follower, other = [start(encoder.encode(["text"])) for _ in range(3)]
    await turns()

    follower.cancel()
    await turns()
    behind.calls[0].go.set()

    assert await same_as_bare(await leader, ["text"])
    assert await same_as_bare(await other, ["text"])


async def test_a_failed_flight_is_tried_once_more_by_its_followers_together() -> None:
    behind = GatedEncoder()
    encoder = SingleFlightEncoder(behind)
    leader, *followers = [start(encoder.encode(["text"])) for _ in range(9)]
    await turns()
    behind.calls[0].error = UpstreamUnavailable("down", service="tei")
    behind.calls[0].go.set()
    await turns()
    behind.calls[1].go.set()

    for answer in await asyncio.gather(*followers):
        assert await same_as_bare(answer, ["text"])
    with pytest.raises(UpstreamUnavailable):
        await leader
    assert len(behind.calls) == 2


async def test_a_server_that_stays_down_is_asked_twice_not_once_per_follower() -> None:
    behind = GatedEncoder()
    encoder = SingleFlightEncoder(behind)
    asked = [start(encoder.encode(["text"])) for _ in range(9)]
    await turns()
    for number in range(2):
        behind.calls[number].error = UpstreamUnavailable("down", service="tei")
        behind.calls[number].go.set()
        await turns()

    errors = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(error) for error in errors] == [UpstreamUnavailable] * 9
    assert len({id(error) for error in errors}) == 9
    assert len(behind.calls) == 2


@pytest.mark.parametrize(
    "error", [InputTooLong("input 1 is too long", index=1), UpstreamRejected("no", service="tei")]
)
async def test_an_error_that_anothers_text_may_have_caused_does_not_reach_a_follower(
    error: InputTooLong | UpstreamRejected,
) -> None:
    behind = GatedEncoder()
    encoder = SingleFlightEncoder(behind)
    leader = start(encoder.encode(["good", "bad"]))
    again = start(encoder.encode(["good", "bad"]))
    follower = start(encoder.encode(["good"]))
    await turns()
    for number in range(2):
        behind.calls[number].error = error
        behind.calls[number].go.set()
        await turns()
    for call in behind.calls[2:]:
        call.go.set()

    assert await same_as_bare(await follower, ["good"])
    with pytest.raises(type(error)):
        await leader
    await asyncio.gather(again, return_exceptions=True)


async def test_a_refusal_reaches_all_who_asked_for_that_text_by_their_own_index() -> None:
    behind = GatedEncoder()
    behind.refused["bad"] = InvalidText("input 1 is no text", index=1)
    encoder = SingleFlightEncoder(behind)
    leader = start(encoder.encode(["good", "bad"]))
    await turns()
    follower = start(encoder.encode(["bad", "x", "good", "bad"]))
    innocent = start(encoder.encode(["good"]))
    await turns()
    for call in behind.calls:
        call.go.set()

    led, followed = await leader, await follower

    assert {i: (e.index, str(e)) for i, e in told(led)} == {1: (1, "input 1 is no text")}
    assert {i: (e.index, str(e)) for i, e in told(followed)} == {
        0: (0, "input 0 is no text"),
        3: (3, "input 3 is no text"),
    }
    assert np.isnan(followed.rows[[0, 3]]).all()
    bare = FakeEncoder(size=32)
    assert followed.tokens == sum(await bare.count_tokens(["x", "good"]))
    assert await same_as_bare(await innocent, ["good"])


def told(encoding: Encoding) -> list[tuple[int, InvalidText]]:
    return [(i, e) for i, e in encoding.refused.items() if isinstance(e, InvalidText)]


async def test_an_error_of_the_call_names_the_callers_index_not_that_among_distinct_texts() -> None:
    encoder = SingleFlightEncoder(FakeEncoder(size=32, max_tokens=4))

    with pytest.raises(InputTooLong, match="input 3 has 6 tokens") as refused:
        _ = (await encoder.encode(["a", "b", "a", "far too many words", "b"])).vectors

    assert refused.value.index == 3


async def test_what_a_caller_writes_into_its_rows_reaches_no_other() -> None:
    behind = GatedEncoder()
    encoder = SingleFlightEncoder(behind)

    async def spoil() -> None:
        (await encoder.encode(["text"])).rows[:] = 0

    spoilers = [asyncio.create_task(spoil()) for _ in range(2)]
    await turns()
    honest = start(encoder.encode(["text"]))
    await turns()
    behind.calls[0].go.set()
    await asyncio.gather(*spoilers)

    assert await same_as_bare(await honest, ["text"])


async def test_nothing_is_remembered_after_landing() -> None:
    behind = GatedEncoder(open_gate=True)
    encoder = SingleFlightEncoder(behind)

    await encoder.encode(["text"])
    await encoder.encode(["text"])

    assert len(behind.calls) == 2


texts_of_calls = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["a", "b c", "d", "e f g", "h"]), max_size=6), st.booleans()
    ),
    min_size=1,
    max_size=7,
)


@given(texts_of_calls, st.booleans(), st.lists(st.integers(0, 30), max_size=40), st.data())
@settings(max_examples=150)
def test_any_interleaving_answers_as_the_bare_encoder(
    calls: list[tuple[list[str], bool]], counts: bool, order: list[int], data: st.DataObject
) -> None:
    cancelled = data.draw(st.sets(st.integers(0, len(calls) - 1), max_size=3))
    asyncio.run(interleave(calls, counts, order, cancelled))


async def interleave(
    calls: list[tuple[list[str], bool]], counts: bool, order: list[int], cancelled: set[int]
) -> None:
    """Start calls and let flights land in the drawn order; then let everything end."""
    behind = GatedEncoder(counts=counts)
    encoder = SingleFlightEncoder(behind)
    lanes = [Lane.QUERY if is_query else Lane.INGEST for _, is_query in calls]
    asked = [
        encoder.encode(texts, lane=lane) for (texts, _), lane in zip(calls, lanes, strict=True)
    ]
    tasks: list[asyncio.Task[Encoding]] = []
    for step in order:
        if step % 2 and len(tasks) < len(asked):
            tasks.append(start(asked[len(tasks)]))
        elif behind.calls:
            behind.calls[step % len(behind.calls)].go.set()
        if step in cancelled and step < len(tasks):
            tasks[step].cancel()
        await turns(step % 4)
    tasks += map(start, asked[len(tasks) :])
    while not all(task.done() for task in tasks):
        for call in behind.calls:
            call.go.set()
        await turns(1)
    for (texts, _), task in zip(calls, tasks, strict=True):
        assert task.cancelled() or await same_as_bare(task.result(), texts)
    assert behind.most_at_once <= 1
