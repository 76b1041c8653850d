import pytest

from gateway.domain.calibration import Calibration
from gateway.errors import InvalidRequest


def test_probabilities_are_linear_between_points_and_flat_outside() -> None:
    calibration = Calibration((0.2, 0.4, 0.8), (0.1, 0.5, 0.9), judged=100)
    assert calibration.probabilities_of([0.0, 0.2, 0.3, 0.6, 0.8, 2.0]) == pytest.approx(
        [0.1, 0.1, 0.3, 0.7, 0.9, 0.9]
    )


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
