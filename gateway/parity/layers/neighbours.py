"""Would a search find the same?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.domain.vectors import Matrix
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Judged, judged
from gateway.parity.layers.rows import Floats, similarities

NAME = "neighbours"
PROVES = "the nearest 1, 5 and 10 texts are those of the reference"
DEPTHS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Mean share of the first k neighbours that both sides name, by k."""

    overlap: Mapping[int, float]

    def judge(self, bars: Bars) -> Judged:
        failures = [
            f"{found:.1%} of the nearest {depth} are the reference's, at least "
            f"{bars.top[depth]:.0%} is parity"
            for depth, found in self.overlap.items()
            if not found >= bars.top[depth]
        ]
        figures = {f"top{depth}": found for depth, found in self.overlap.items()}
        return judged(NAME, PROVES, figures, failures)


def compare_neighbours(rows: Matrix, reference: Matrix) -> Neighbours:
    """Compare the neighbours of every row among the others."""
    ours, theirs = _nearest(similarities(rows)), _nearest(similarities(reference))
    depths = [depth for depth in DEPTHS if depth < len(rows)]
    return Neighbours({depth: _overlap(ours, theirs, depth) for depth in depths})


def _nearest(matrix: Floats) -> NDArray[np.intp]:
    """Indexes of the others by similarity, nearest first; ties by index."""
    matrix = matrix.copy()
    np.fill_diagonal(matrix, -np.inf)
    return np.argsort(-matrix, axis=1, kind="stable")[:, :-1]


def _overlap(ours: NDArray[np.intp], theirs: NDArray[np.intp], depth: int) -> float:
    shared = [
        len(set(a[:depth].tolist()) & set(b[:depth].tolist()))
        for a, b in zip(ours, theirs, strict=True)
    ]
    return sum(shared) / (depth * len(shared))
