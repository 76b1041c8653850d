import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.calibration import Calibration
from gateway.errors import InvalidRequest


def test_probabilities_are_linear_between_points_and_flat_outside() -> None:
    calibration = Calibration((0.2, 0.4, 0.8), (0.1, 0.5, 0.9), judged=100)
    assert calibration.probabilities_of([0.0, 0.2, 0.3, 0.6, 0.8, 2.0]) == pytest.approx(
        [0.1, 0.1, 0.3, 0.7, 0.9, 0.9]
    )


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8).map(sorted),
    st.floats(0, 1),
    st.floats(-1, 9),
)
def test_from_the_least_score_on_hits_are_as_probable_as_asked(
    heights: list[float], asked: float, score: float
) -> None:
    calibration = Calibration(tuple(map(float, range(len(heights)))), tuple(heights))
    least = calibration.least_score(asked)
    if score > least + 1e-9:
        assert calibration.probability(score) >= asked - 1e-6
    if score < least - 1e-9:
        assert calibration.probability(score) < asked + 1e-6


def test_a_probability_that_all_or_none_have_has_no_bound() -> None:
    calibration = Calibration((0.2, 0.4, 0.8), (0.1, 0.5, 0.9))
    assert calibration.least_score(0.1) == -math.inf
    assert calibration.least_score(0.3) == pytest.approx(0.3)
    assert calibration.least_score(0.9) == pytest.approx(0.8)
    assert calibration.least_score(0.91) == math.inf


@pytest.mark.parametrize(
    ("scores", "probabilities"),
    [
        ((), ()),
        ((0.1,), (0.1, 0.2)),
        ((0.2, 0.1), (0.1, 0.2)),
        ((0.1, 0.1), (0.1, 0.2)),
        ((0.1, 0.2), (0.3, 0.2)),
        ((0.1, 0.2), (0.3, 1.2)),
        ((0.1, 0.2), (-0.1, 0.2)),
        ((float("nan"), 0.2), (0.1, 0.2)),
    ],
)
def test_a_map_that_falls_or_leaves_its_range_is_refused(
    scores: tuple[float, ...], probabilities: tuple[float, ...]
) -> None:
    with pytest.raises(InvalidRequest, match="rising scores"):
        Calibration(scores, probabilities)
