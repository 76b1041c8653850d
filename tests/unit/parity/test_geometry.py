"""Ranks, neighbours and special kinds, by hand-made numbers."""

import numpy as np
import pytest

from gateway.domain.recording import Recorded
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.parity.bars import BARS, FLOAT32
from gateway.parity.layers.company import LONG_EQUAL, MIXED, Company
from gateway.parity.layers.geometry import spearman
from gateway.parity.layers.goldens import compare_goldens
from gateway.parity.layers.judged import Status
from gateway.parity.layers.neighbours import compare_neighbours
from gateway.parity.layers.rows import cosines, unit
from gateway.parity.layers.specials import kinds_of
from gateway.parity.layers.tokens import compare_tokens
from tests.support.parity import random_rows

VECTOR = np.ones(1, np.float32)


def item(text: str, tokens: int = 3) -> Recorded:
    return Recorded("query", text, None, text, tuple(range(tokens)), VECTOR)


def test_spearman_is_one_for_equal_orders_and_minus_one_for_opposite_ones() -> None:
    values = np.array([0.1, 0.5, 0.2, 0.9])

    assert spearman(values, values**3) == pytest.approx(1)
    assert spearman(values, -values) == pytest.approx(-1)


def test_spearman_gives_ties_their_mean_rank() -> None:
    """0.9486833 is what scipy.stats.spearmanr answers for these."""
    left, right = np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0, 4.0])

    assert spearman(left, right) == pytest.approx(0.9486833)


def test_spearman_of_a_constant_is_zero() -> None:
    assert spearman(np.ones(4), np.arange(4.0)) == 0


def test_neighbours_of_equal_rows_are_equal_and_of_other_rows_few() -> None:
    rows, others = random_rows(30, 16), random_rows(30, 16, seed=8)

    assert compare_neighbours(rows, rows).overlap == {1: 1.0, 5: 1.0, 10: 1.0}
    assert compare_neighbours(others, rows).overlap[5] < 0.5
    assert set(compare_neighbours(rows[:4], rows[:4]).overlap) == {1}


def test_rows_without_direction_compare_as_badly_as_can_be() -> None:
    rows = np.array([[1, 0], [np.nan, 1], [0, 0], [np.inf, 1]], np.float32)

    np.testing.assert_array_equal(cosines(rows, np.tile(rows[:1], (4, 1))), [1, 0, 0, 0])
    assert np.isfinite(unit(rows)).all()


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("Привет", ["russian"]),
        ("ひとつ", ["japanese"]),
        ("to Mars 🚀", ["emoji"]),
        ("def f(x):\n    return x", ["code"]),
        ("SELECT a\nFROM b", ["code"]),
        ("a <bos> b", ["special_token"]),
        (" a", ["white_space"]),
        ("a", ["one_letter"]),
        ("plain words", []),
    ],
)
def test_special_texts_are_told_by_their_signs(text: str, kinds: list[str]) -> None:
    assert kinds_of(item(text), longest=9) == kinds


def test_the_longest_text_is_special() -> None:
    assert kinds_of(item("plain words", tokens=9), longest=9) == ["longest"]


def test_a_prompt_of_the_servers_own_is_told_from_texts_that_are_cut() -> None:
    items = [item("one", 3), item("two", 5)]

    prompted = compare_tokens(items, None, [8, 10]).judge(FLOAT32)
    cut = compare_tokens(items, None, [3, 4]).judge(FLOAT32)
    untold = compare_tokens(items, None, None).judge(FLOAT32)

    assert "+5 tokens in every text" in prompted.failures[0]
    assert "another number of tokens, the first is text 1" in cut.failures[0]
    assert untold.figures["counts"] == "not told"


def test_the_sliding_window_is_named_where_only_long_equal_texts_move() -> None:
    window = Company({MIXED: 1.0, LONG_EQUAL: 0.98}).judge(FLOAT32)
    both = Company({MIXED: 0.98, LONG_EQUAL: 0.98}).judge(FLOAT32)

    assert any("sliding window" in failure for failure in window.failures)
    assert not any("sliding window" in failure for failure in both.failures)


@pytest.mark.parametrize("dtype", BARS)
def test_every_bar_has_a_source_and_lets_no_wrong_model_through(dtype: str) -> None:
    assert len(BARS[dtype].source) > 40
    assert BARS[dtype].cosine_min >= 0.99


@pytest.mark.parametrize(("off", "ok"), [(0.001, True), (0.01, False)])
def test_the_cards_similarities_are_held_to_the_bar(off: float, ok: bool) -> None:
    golden = EMBEDDING_GEMMA_300M.goldens[0]
    cosine = np.array(golden.similarities) + off
    documents = np.stack([cosine, np.sqrt(1 - cosine**2)], axis=1)
    rows = np.concatenate([[[1, 0]], documents]).astype(np.float32)

    judged = compare_goldens([golden], [rows]).judge(FLOAT32)

    assert (judged.status is Status.OK) == ok
    assert judged.figures == {"off_768": pytest.approx(off, abs=1e-6)}
