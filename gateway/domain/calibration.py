"""From a score to a probability of relevance: a rising line through a few measured points."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from gateway.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Calibration:
    """A monotone map from scores of one kind of search to the probability that a hit is relevant.

    `scores` rise strictly and `probabilities` (0..1) never fall; between two points the map is
    linear, outside it keeps the nearest point's probability. `judged` is how many judged hits it
    was fitted on, by searches for `task`, reranked by the model `reranker` where one reranked.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    judged: int = 0
    task: str = "query"
    reranker: str | None = None

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

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `asdict` made of a calibration, read back from JSON.

        Raises:
            KeyError, TypeError: something else made it.
        """
        points = {name: tuple(data[name]) for name in ("scores", "probabilities")}
        fields: dict[str, Any] = {**data, **points}
        return cls(**fields)

    def probability(self, score: float) -> float:
        """Return the probability that a hit of this score is relevant."""
        return float(np.interp(score, self.scores, self.probabilities))

    def least_score(self, probability: float) -> float:
        """Return the score from which on hits are relevant at least so probably.

        -inf where all are, inf where none is.
        """
        at = int(np.searchsorted(self.probabilities, probability))
        if at == 0:
            return -math.inf
        if at == len(self.scores):
            return math.inf
        low, high = self.probabilities[at - 1], self.probabilities[at]
        share = (probability - low) / (high - low)
        return self.scores[at - 1] + share * (self.scores[at] - self.scores[at - 1])

    def probabilities_of(self, scores: Sequence[float]) -> list[float]:
        """Return the probability of each score, in order."""
        return [self.probability(score) for score in scores]
