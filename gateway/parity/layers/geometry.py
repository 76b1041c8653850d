"""Do texts lie to one another as they do in the reference?"""

from dataclasses import dataclass

import numpy as np

from gateway.domain.vectors import Matrix
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Judged, judged
from gateway.parity.layers.rows import Floats, similarities

NAME = "geometry"
PROVES = "similarities between texts come in the order of the reference (Spearman)"


@dataclass(frozen=True, slots=True)
class Geometry:
    """`spearman` of all pairs; `difference` is the greatest of a similarity."""

    spearman: float
    difference: float
    pairs: int

    def judge(self, bars: Bars) -> Judged:
        figures = {
            "spearman": self.spearman,
            "difference_max": self.difference,
            "pairs": self.pairs,
        }
        failures = [
            f"Spearman is {self.spearman:.5f}, at least {bars.spearman} is parity: other texts are "
            "near to one another"
        ]
        return judged(NAME, PROVES, figures, [] if self.spearman >= bars.spearman else failures)


def compare_geometry(rows: Matrix, reference: Matrix) -> Geometry:
    """Compare the similarity matrices of two sets of rows."""
    above = np.triu_indices(len(rows), k=1)
    ours, theirs = similarities(rows)[above], similarities(reference)[above]
    return Geometry(spearman(ours, theirs), float(np.abs(ours - theirs).max()), len(ours))


def spearman(left: Floats, right: Floats) -> float:
    """Correlation of ranks, equal values sharing their mean rank; 0 where one side is all equal."""
    with np.errstate(invalid="ignore"):
        found = np.corrcoef(_ranks(left), _ranks(right))[0, 1]
    return float(np.nan_to_num(found))


def _ranks(values: Floats) -> Floats:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[places]
