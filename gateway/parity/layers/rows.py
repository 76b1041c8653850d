"""Arithmetic that layers share. Rows that are no direction compare as badly as can be."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.domain.vectors import Matrix, norms_of
from gateway.tei.refusals import BrokenAnswer

Floats = NDArray[np.float64]


def unit(rows: Matrix) -> Floats:
    """Rows at unit length in float64; those without direction become zeros."""
    wide = rows.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scaled: Floats = wide / norms_of(rows)[:, None]
    scaled[~np.all(np.isfinite(scaled), axis=1)] = 0.0
    return scaled


def cosines(left: Matrix, right: Matrix) -> Floats:
    """Cosine of each row with its twin; 0 where one of them has no direction."""
    return np.minimum(np.einsum("ij,ij->i", unit(left), unit(right)), 1.0)


def similarities(rows: Matrix) -> Floats:
    """Cosine of every row with every other, shape (n, n)."""
    directions = unit(rows)
    return directions @ directions.T


def least(values: Floats) -> float:
    """The least value; 1 of none."""
    return float(values.min()) if values.size else 1.0


def joined(rows: Sequence[Matrix]) -> Matrix:
    """Rows of several answers as one matrix.

    Raises:
        BrokenAnswer: they are of different sizes.
    """
    sizes = {part.shape[1] for part in rows}
    if len(sizes) > 1:
        raise BrokenAnswer(f"vectors of several sizes are answered: {sorted(sizes)}")
    return np.concatenate(list(rows))
