"""Do the worked examples of the model card come out as printed?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.domain.vectors import Matrix
from gateway.embedding.profile import Golden
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Judged, judged

NAME = "model card"
PROVES = "the similarities printed in the model card come out"


@dataclass(frozen=True, slots=True)
class Goldens:
    """By size, how far the similarities are from the printed ones, at most."""

    off: Mapping[int, float]

    def judge(self, bars: Bars) -> Judged:
        failures = [
            f"at size {size} the example of the model card is off by {off:.4f}, at most "
            f"{bars.golden:g} is parity in {bars.dtype}: another model, or layers were skipped"
            for size, off in self.off.items()
            if not off <= bars.golden
        ]
        figures = {f"off_{size}": off for size, off in self.off.items()}
        return judged(NAME, PROVES, figures, failures)


def compare_goldens(goldens: Sequence[Golden], rows: Sequence[Matrix]) -> Goldens:
    """Compare examples with unit rows at their size: the query first, then the documents."""
    off = {
        golden.size: float(np.abs(own[1:] @ own[0] - np.asarray(golden.similarities)).max())
        for golden, own in zip(goldens, rows, strict=True)
    }
    return Goldens(off)
