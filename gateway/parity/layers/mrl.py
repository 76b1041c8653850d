"""Is a shorter vector the same, whoever cuts it?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.vectors import Matrix, shorten_each
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Figure, Judged, judged
from gateway.parity.layers.rows import cosines, least

NAME = "mrl"
PROVES = (
    "our cut of the candidate's vector equals truncate_dim with normalisation, and its own "
    "dimensions"
)


@dataclass(frozen=True, slots=True)
class Matryoshka:
    """Least cosines by size: of our cut to the reference's, and to the candidate's own."""

    to_reference: Mapping[int, float]
    to_server: Mapping[int, float] = field(default_factory=dict[int, float])

    def judge(self, bars: Bars) -> Judged:
        figures: dict[str, Figure] = {f"{n}": cosine for n, cosine in self.to_reference.items()}
        figures |= {f"{n}_by_server": cosine for n, cosine in self.to_server.items()}
        failures = [
            *_failures("our cut of the candidate's vector", self.to_reference, bars),
            *_failures("the cut that the candidate makes itself", self.to_server, bars),
        ]
        return judged(NAME, PROVES, figures, failures)


def compare_mrl(
    rows: Matrix, reference: Mapping[int, Matrix], server: Mapping[int, Matrix]
) -> Matryoshka:
    """Compare our cut of full `rows` with rows of the same texts by size.

    Rows of another length than their size, as of a server that ignores it, have a cosine of 0.
    """
    return Matryoshka(
        {size: _least(rows, size, cut) for size, cut in reference.items()},
        {size: _least(rows, size, cut) for size, cut in server.items()},
    )


def _failures(whose: str, found: Mapping[int, float], bars: Bars) -> list[str]:
    far = {size: cosine for size, cosine in found.items() if not cosine >= bars.cosine_min}
    if not far:
        return []
    sizes = ", ".join(map(str, far))
    return [
        f"{whose} differs at {sizes}: cosine {min(far.values()):.6f}, at least {bars.cosine_min} is "
        "parity"
    ]


def _least(rows: Matrix, size: int, cut: Matrix) -> float:
    if cut.shape[1] != size:
        return 0.0
    ours, _ = shorten_each(rows, size)
    return least(cosines(ours, cut))
