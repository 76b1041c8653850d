"""Texts of one length above the sliding window are sent with short ones in between."""

from dataclasses import replace

import numpy as np
import pytest

from gateway.tei.answers import Embedded
from gateway.tei.unequal import (
    FILLER,
    Crossing,
    are_equal,
    may_be_equal,
    spaced,
    without_fillers,
)
from gateway.tei.wire import Token
from tests.support.tei_pools import EXPECT, pool_of, unit_rows
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

WINDOWED = replace(EXPECT, window=8)


@pytest.mark.parametrize(
    ("count", "tokens", "suspected"),
    [(2, 20, True), (2, 21, False), (2, 16, False), (3, 27, True), (1, 20, False)],
)
def test_only_a_whole_mean_above_the_window_is_suspected(
    count: int, tokens: int, suspected: bool
) -> None:
    assert may_be_equal(count, tokens, 8, shared=False) is suspected


def test_a_lone_text_is_suspected_where_it_may_have_met_another() -> None:
    assert may_be_equal(1, 20, 8, shared=True)
    assert not may_be_equal(1, 8, 8, shared=True)
    crossing = Crossing()
    with crossing.watched() as first:
        assert not first()
        with crossing.watched() as second:
            assert first()
            assert second()
    with crossing.watched() as third:
        assert not third()


def test_lengths_are_compared_by_tokens() -> None:
    assert are_equal([[Token(2), Token(3)], [Token(2), Token(4)]])
    assert not are_equal([[Token(2)], [Token(2), Token(4)]])


def test_fillers_come_before_each_text_and_leave_no_trace() -> None:
    assert spaced([b"x", b"y"]) == [FILLER, b"x", FILLER, b"y"]
    rows = np.arange(8, dtype=np.float32).reshape(4, 2)
    found = without_fillers(Embedded(rows, 26, bad=(0, 3)), 3)
    assert found.rows.tolist() == [[2.0, 3.0], [6.0, 7.0]]
    assert (found.tokens, found.bad) == (20, (1,))


async def test_the_caller_sees_vectors_and_tokens_of_its_texts_alone() -> None:
    texts = [f"{number} " + "word " * 20 for number in range(5)]
    with TEIStub(max_client_batch_size=5) as stub:
        async with pool_of(stub, expect=WINDOWED) as pool:
            rows, tokens = await pool.embed(texts)
            sent = [count for _, count in stub.log.requests]
    assert np.allclose(rows, await unit_rows(texts), atol=1e-6)
    assert tokens == 5 * 23
    assert max(sent) <= 5


async def test_texts_of_several_lengths_are_sent_once() -> None:
    texts = ["word " * count for count in (20, 21, 22)]
    with TEIStub() as stub:
        async with pool_of(stub, expect=WINDOWED) as pool:
            await pool.embed(texts)
            assert stub.log.computed == 2 + len(texts), "two probes and the texts"
