"""From a score to a probability of relevance: a rising line through a few measured points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Calibration:
    """A monotone map from scores of one mode of search to the probability that a hit is relevant.

    `scores` rise strictly and `probabilities` (0..1) never fall; between two points the map is
    linear, outside it keeps the nearest point's probability. `judged` is how many judged hits it
    was fitted on.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    judged: int = 0

    def __post_init__(self) -> None:
        points, heights = np.asarray(self.scores), np.asarray(self.probabilities)
        sound = (
            len(points) == len(heights) > 0
            and bool(np.isfinite(points).all())
            and bool((np.diff(points) > 0).all())
            and bool((np.diff(heights) >= 0).all())
            and bool(((heights >= 0) & (heights <= 1)).all())
        )
        if not sound:
            raise InvalidRequest(
                "a calibration needs rising scores with probabilities that never fall within 0-1",
                field="calibrations",
            )

    def probability(self, score: float) -> float:
        """Return the probability that a hit of this score is relevant."""
        return float(np.interp(score, self.scores, self.probabilities))

    def probabilities_of(self, scores: Sequence[float]) -> list[float]:
        """Return the probability of each score, in order."""
        return [self.probability(score) for score in scores]
