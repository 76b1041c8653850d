"""Intervals and tests: they cover what they claim, and find what is there."""

from itertools import product

import numpy as np
import pytest

from gateway.evaluation.statistics import compare, intervals, p_value
from tests.support.golden_sets import made_run


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(60):
        drawn = random.beta(2, 3, 80)
        found = intervals({str(i): {"m": v} for i, v in enumerate(drawn)}, ("m",))["m"]
        covered += found.low <= 0.4 <= found.high
    assert covered >= 51


def test_intervals_are_as_wide_as_theory_says_and_the_same_every_time() -> None:
    drawn = np.random.default_rng(1).normal(0.5, 0.2, 400)
    values = {str(i): {"m": v, "flat": 0.3} for i, v in enumerate(drawn.tolist())}
    found = intervals(values, ("m", "flat"))
    width = 2 * 1.96 * drawn.std() / 20
    assert found["m"].high - found["m"].low == pytest.approx(width, rel=0.1)
    assert (found["flat"].low, found["flat"].high) == pytest.approx((0.3, 0.3))
    assert found == intervals(values, ("m", "flat"))


def test_the_p_value_is_that_of_all_sign_flips() -> None:
    differences = np.array([0.3, -0.1, 0.25, 0.4, 0.05, 0.2, -0.02, 0.1])
    flipped = np.array(list(product([-1, 1], repeat=8))) @ differences
    exact = float((np.abs(flipped) >= abs(differences.sum()) - 1e-12).mean())
    assert p_value(differences) == pytest.approx(exact, abs=0.015)


def test_no_difference_is_no_evidence() -> None:
    assert p_value(np.zeros(50)) == 1.0
    assert p_value(np.array([])) == 1.0


def test_p_values_of_equal_runs_are_spread_evenly() -> None:
    """Under no true difference, about 5 in 100 fall below 0.05: a test that cries wolf fails here."""
    random = np.random.default_rng(4)
    found = [p_value(random.normal(0, 0.2, 40)) for _ in range(100)]
    assert sum(p < 0.05 for p in found) <= 12
    assert 0.35 <= float(np.mean(found)) <= 0.65


def test_a_clear_difference_is_found() -> None:
    random = np.random.default_rng(5)
    assert p_value(random.normal(0.1, 0.2, 200)) < 0.001


def test_comparing_two_runs_counts_queries() -> None:
    ours = made_run("hybrid", {"q1": 1.0, "q2": 0.5, "q3": 0.2, "q4": 0.7})
    theirs = made_run("dense", {"q1": 0.5, "q2": 0.5, "q3": 0.6, "q5": 0.1})
    found = compare(ours, theirs, "ndcg@10")
    assert (found.run, found.against, found.metric) == ("hybrid", "dense", "ndcg@10")
    assert (found.wins, found.losses, found.ties) == (1, 1, 1)
    assert found.difference == pytest.approx(0.1 / 3)
    back = compare(theirs, ours, "ndcg@10")
    assert (back.wins, back.losses, back.difference) == (1, 1, pytest.approx(-found.difference))
    assert back.p_value == found.p_value
