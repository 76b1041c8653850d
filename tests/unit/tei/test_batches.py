"""Planning: every text once, limits kept, like lengths together."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InputTooLong, InvalidText
from gateway.tei.batches import ENVELOPE_BYTES, Room, plan

ROOM = Room(inputs=32, payload_bytes=2_000_000, tokens=16_384)
rooms = st.builds(
    Room,
    inputs=st.integers(1, 40),
    payload_bytes=st.integers(ENVELOPE_BYTES + 50, ENVELOPE_BYTES + 5_000),
    tokens=st.integers(1, 5_000),
)
texts = st.lists(st.text(max_size=200), max_size=80)


@given(texts=texts, room=rooms, bytes_per_token=st.floats(1.0, 8.0))
def test_every_text_is_in_one_batch_or_refused(
    texts: list[str], room: Room, bytes_per_token: float
) -> None:
    batches, refused = plan(texts, room, bytes_per_token)

    placed = [place for batch in batches for place in batch.places]
    assert sorted([*placed, *refused]) == list(range(len(texts)))
    for batch in batches:
        assert [json.loads(text) for text in batch.texts] == [texts[i] for i in batch.places]
        assert 1 <= len(batch) <= room.inputs
        assert sum(len(text) + 1 for text in batch.texts) + ENVELOPE_BYTES <= room.payload_bytes
        longest = max(map(len, batch.texts))
        assert len(batch) == 1 or len(batch) * longest / bytes_per_token <= room.tokens + 1e-6


@given(texts=texts, room=rooms)
def test_no_batch_holds_a_text_longer_than_any_of_the_batch_before(
    texts: list[str], room: Room
) -> None:
    batches, _ = plan(texts, room, 4.0)
    lengths = [sorted(map(len, batch.texts)) for batch in batches]
    assert all(after[-1] <= before[0] for before, after in pairwise(lengths))


def test_texts_that_no_request_can_carry_are_named() -> None:
    room = Room(inputs=32, payload_bytes=ENVELOPE_BYTES + 100, tokens=16_384)
    batches, refused = plan(["fits", "", "x" * 200, "\udfff"], room, 4.0)

    assert [batch.places for batch in batches] == [[0]]
    kinds = {place: type(error) for place, error in refused.items()}
    assert kinds == {1: InvalidText, 2: InputTooLong, 3: InvalidText}


def test_long_texts_are_sent_in_an_order_that_mixes_their_lengths() -> None:
    texts = ["word " * count for count in range(100, 132)]
    [batch], _ = plan(texts, ROOM, 4.0)

    sizes = [len(text) for text in batch.texts]
    assert sizes[:4] == [657, 502, 652, 507]
    assert all(one != two for one, two in pairwise(sizes))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 32])
def test_halves_keep_texts_and_places_together(count: int) -> None:
    [batch], _ = plan([f"text {number}" for number in range(count)], ROOM, 4.0)
    left, right = batch.halves()

    assert [*left.places, *right.places] == list(batch.places)
    assert [*left.texts, *right.texts] == list(batch.texts)
    assert abs(len(left) - len(right)) <= 1
