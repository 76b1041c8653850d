"""Do the vectors leave the candidate at unit length?"""

from dataclasses import dataclass

from gateway.domain.vectors import Matrix, have_direction, norms_of
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Judged, judged

NAME = "norms"
PROVES = "vectors leave the candidate at unit length"


@dataclass(frozen=True, slots=True)
class Norms:
    """Shortest and longest vector as answered."""

    shortest: float
    longest: float

    def judge(self, bars: Bars) -> Judged:
        off = max(abs(self.shortest - 1), abs(self.longest - 1))
        figures = {"shortest": self.shortest, "longest": self.longest}
        failures = [
            f"norms lie between {self.shortest:.4g} and {self.longest:.4g}, within {bars.norm:g} of 1 "
            "is parity: the candidate does not normalise"
        ]
        return judged(NAME, PROVES, figures, [] if off <= bars.norm else failures)


def compare_norms(rows: Matrix) -> Norms:
    """Measure rows as answered; those without direction are the matter of another layer."""
    norms = norms_of(rows[have_direction(rows)])
    return Norms(float(norms.min()), float(norms.max())) if norms.size else Norms(0.0, 0.0)
