"""Are the vectors those of the reference?"""

from dataclasses import dataclass

import numpy as np

from gateway.domain.vectors import Matrix
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Judged, judged
from gateway.parity.layers.rows import Floats, cosines, unit

NAME = "vectors"
PROVES = "each text alone gets the vector of the reference"


@dataclass(frozen=True, slots=True)
class Vectors:
    """`cosines` of each text to the reference; `difference` is the greatest of a component."""

    cosines: Floats
    difference: float

    def judge(self, bars: Bars) -> Judged:
        lowest, mean = float(self.cosines.min()), float(self.cosines.mean())
        p01 = float(np.quantile(self.cosines, 0.01))
        figures = {
            "cosine_min": lowest,
            "cosine_p01": p01,
            "cosine_mean": mean,
            "difference_max": self.difference,
        }
        failures = [
            f"{name} is {found:.6f}, at least {bar} is parity in {bars.dtype}"
            for name, found, bar in (
                (f"least cosine (text {int(self.cosines.argmin())})", lowest, bars.cosine_min),
                ("cosine at the 1st percentile", p01, bars.cosine_p01),
                ("mean cosine", mean, bars.cosine_mean),
            )
            if not found >= bar
        ]
        if not self.difference <= bars.component:
            failures.append(
                f"a component differs by {self.difference:.2e}, at most {bars.component:g} is parity"
            )
        return judged(NAME, PROVES, figures, failures)


def compare_vectors(rows: Matrix, reference: Matrix) -> Vectors:
    """Compare rows with their twins, both brought to unit length."""
    difference = float(np.abs(unit(rows) - unit(reference)).max())
    return Vectors(cosines(rows, reference), difference)
