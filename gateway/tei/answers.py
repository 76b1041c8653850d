"""What a server answered to a batch, checked row by row before anybody sees it."""

from dataclasses import dataclass

import numpy as np

from gateway.domain.vectors import UNIT_TOLERANCE, Matrix, norms_of
from gateway.errors import DegenerateVector
from gateway.tei.refusals import SERVICE, BrokenAnswer


@dataclass(frozen=True, slots=True)
class Embedded:
    """Rows of a batch in its order, the tokens read in all, and the rows that are no unit vectors."""

    rows: Matrix
    tokens: int
    bad: tuple[int, ...] = ()


def checked(where: str, rows: Matrix, tokens: int, size: int | None) -> Embedded:
    """Check rows of a route that normalises: size, finite, unit length.

    Raises:
        BrokenAnswer: the rows are of another size than `size`.
    """
    if size is not None and rows.shape[1] != size:
        raise BrokenAnswer(
            f"TEI at {where} answered vectors of size {rows.shape[1]}, expected {size}: it serves "
            "another model now",
            service=SERVICE,
        )
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = ~(np.abs(norms_of(rows) - 1.0) <= UNIT_TOLERANCE)
    return Embedded(rows, tokens, tuple(np.flatnonzero(wrong).tolist()) if wrong.any() else ())


def bad_row(where: str, row: Matrix, place: int) -> DegenerateVector:
    """The error of input `place`, whose vector `row` is no unit vector."""
    norm = float(norms_of(row[None])[0])
    if np.isfinite(norm) and norm > 0:
        what = f"is not of unit length (norm {norm:.6g}): the server does not normalise"
    else:
        what = "has no direction (NaN, infinity or zeros): check the server's dtype and device"
    return DegenerateVector(f"the vector of input {place} from TEI at {where} {what}", index=place)
