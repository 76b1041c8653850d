"""Does each text get its own vector, not its neighbour's?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.domain.vectors import Matrix
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Judged, judged
from gateway.parity.layers.rows import Floats, unit

NAME = "order"
PROVES = "no text gets the vector of another one, alone or in company"


@dataclass(frozen=True, slots=True)
class Order:
    """Per way of asking: cosine of each row to its own text, and to the nearest other text."""

    own: dict[str, Floats]
    other: dict[str, Floats]

    def judge(self, bars: Bars) -> Judged:
        taken = {
            way: int(((own < bars.cosine_min) & (self.other[way] >= bars.cosine_min)).sum())
            for way, own in self.own.items()
        }
        failures = [
            f"{count} texts asked {way} get the vector of another text: rows are mixed up"
            for way, count in taken.items()
            if count
        ]
        return judged(NAME, PROVES, {"of_another_text": sum(taken.values())}, failures)


def compare_order(
    ways: Mapping[str, tuple[Sequence[int], Matrix]], reference: Matrix, texts: Sequence[str]
) -> Order:
    """Hold rows, one way of asking each, against the reference's rows of all texts.

    A way is the indexes of its texts and their rows.
    """
    same = np.equal.outer(np.asarray(texts, object), np.asarray(texts, object)).astype(bool)
    own: dict[str, Floats] = {}
    other: dict[str, Floats] = {}
    for way, (indexes, rows) in ways.items():
        at = np.asarray(indexes)
        to_all = unit(rows) @ unit(reference).T
        own[way] = to_all[np.arange(len(at)), at]
        other[way] = np.where(same[at], -1.0, to_all).max(axis=1)
    return Order(own, other)
