"""Does every text get one vector of the right size?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gateway.domain.vectors import Matrix, have_direction
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Judged, judged

NAME = "answers"
PROVES = "every text gets one finite vector of the model's full size"


@dataclass(frozen=True, slots=True)
class Answers:
    """`broken` are the texts whose vector has no direction, `lost` those that were refused, and why.

    `refusal` says why nothing was answered.
    """

    size: int
    broken: tuple[int, ...] = ()
    lost: Mapping[int, str] = field(default_factory=dict[int, str])
    refusal: str = ""

    def judge(self, bars: Bars) -> Judged:  # noqa: ARG002  there is nothing to allow
        figures = {"size": self.size, "broken": len(self.broken), "refused": len(self.lost)}
        failures: list[str] = []
        if self.refusal:
            failures.append(self.refusal)
        if self.lost:
            first = min(self.lost)
            failures.append(
                f"text {first} is within the model's limit and refused: {self.lost[first]}"
            )
        if self.broken:
            failures.append(
                f"{len(self.broken)} texts get a vector of NaN, infinity or zeros, the first is text "
                f"{self.broken[0]}: check dtype and device"
            )
        return judged(NAME, PROVES, figures, failures)


def compare_answers(rows: Matrix, lost: Mapping[int, str]) -> Answers:
    """Look at the form of rows; shape (n, any size); those of `lost` texts are NaN."""
    broken = np.flatnonzero(~have_direction(rows)).tolist()
    return Answers(rows.shape[1], tuple(i for i in broken if i not in lost), lost)
