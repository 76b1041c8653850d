"""Does a text's vector depend on the company it is embedded in?"""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.vectors import Matrix
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Judged, judged
from gateway.parity.layers.rows import cosines, least

NAME = "batches"
PROVES = "a text gets the same vector alone, in a batch of mixed or equal lengths, and under load"
MIXED, EQUAL, LONG_EQUAL, AT_A_TIME = "mixed", "equal", "equal_above_257", "concurrent"
"""Kinds of company."""


@dataclass(frozen=True, slots=True)
class Company:
    """Least cosine of a text in company to itself alone, by the kind of company."""

    to_alone: Mapping[str, float]

    def judge(self, bars: Bars) -> Judged:
        failures = [
            f"asked {way}, a text moves to cosine {found:.6f} of itself alone, at least {bars.batch} "
            f"is parity"
            for way, found in self.to_alone.items()
            if not found >= bars.batch
        ]
        if len(failures) == 1 and not self.to_alone.get(LONG_EQUAL, 1.0) >= bars.batch:
            failures.append(
                "only texts of equal length above 257 tokens move: the sliding window is left out "
                "where all of a batch are equally long (TEI, issue 882)"
            )
        return judged(NAME, PROVES, dict(self.to_alone), failures)


def compare_company(alone: Matrix, ways: Mapping[str, tuple[list[int], Matrix]]) -> Company:
    """Compare rows asked in company, by the indexes of their texts, with `alone`."""
    return Company(
        {way: least(cosines(rows, alone[indexes])) for way, (indexes, rows) in ways.items()}
    )
