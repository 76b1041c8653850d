"""The rules of our vectors: float32, finite, unit length, cut by Matryoshka prefix.

Everything downstream of `shorten` may assume unit float32 rows. Source of the cut-then-renormalise
rule: the EmbeddingGemma model card ("MRL ... truncated and re-normalised").
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.errors import DegenerateVector

Matrix: TypeAlias = NDArray[np.float32]
"""Rows of vectors, shape (n, size)."""
Vector: TypeAlias = NDArray[np.float32]
"""One vector, shape (size,)."""

UNIT_TOLERANCE = 1e-3
"""How far a stored vector's norm may be from 1; float32 rounding stays below 1e-6."""


def require_form(vectors: NDArray[Any], *, count: int, size: int) -> Matrix:
    """Return what an encoder answered when it is float32 of the shape asked for; rows may be bad.

    Raises:
        DegenerateVector: it is not.
    """
    if vectors.shape != (count, size):
        raise DegenerateVector(f"expected vectors of shape {(count, size)}, got {vectors.shape}")
    if vectors.dtype != np.float32:
        raise DegenerateVector(f"expected float32 vectors, got {vectors.dtype}")
    return vectors


def have_direction(vectors: Matrix) -> NDArray[np.bool_]:
    """Tell of each row whether it is finite and not only zeros."""
    return _sound(norms_of(vectors))


def directionless(vectors: Matrix) -> list[int]:
    """Return the rows that are no direction: NaN, infinity or only zeros."""
    return np.flatnonzero(~have_direction(vectors)).tolist()


def shorten(vectors: Matrix, size: int) -> Matrix:
    """Keep the first `size` components and restore unit length; shape (n, size), float32.

    Raises:
        DegenerateVector: the rows are shorter, or the prefix of a row has no direction.
    """
    cut, bad = shorten_each(vectors, size)
    if bad:
        raise DegenerateVector(f"row {bad[0]} has no direction at size {size}", index=bad[0])
    return cut


def shorten_each(vectors: Matrix, size: int) -> tuple[Matrix, list[int]]:
    """Shorten the rows that can be; those without direction are NaN, and named.

    Raises:
        DegenerateVector: the rows are shorter.
    """
    if vectors.shape[1] < size:
        raise DegenerateVector(f"rows of size {vectors.shape[1]} cannot be cut to {size}")
    head = vectors[:, :size]
    norms = norms_of(head)
    sound = _sound(norms)
    if sound.all():
        return (head / norms[:, None]).astype(np.float32), []
    cut = np.full(head.shape, np.nan, np.float32)
    cut[sound] = head[sound] / norms[sound, None]
    return cut, np.flatnonzero(~sound).tolist()


def require_unit(vectors: Matrix, *, size: int) -> Matrix:
    """Return rows fit for storing or comparing, or refuse them: the last gate before a store.

    Raises:
        DegenerateVector: wrong size, not float32, not finite, or a norm off 1 by more than
            `UNIT_TOLERANCE`.
    """
    if vectors.ndim != 2 or vectors.shape[1] != size:
        raise DegenerateVector(f"expected rows of size {size}, got shape {vectors.shape}")
    if vectors.dtype != np.float32:
        raise DegenerateVector(f"expected float32 vectors, got {vectors.dtype}")
    norms = norms_of(vectors)
    bad = np.flatnonzero(~(np.abs(norms - 1.0) <= UNIT_TOLERANCE))
    if bad.size:
        row = int(bad[0])
        raise DegenerateVector(f"row {row} has norm {norms[row]:.6g}, expected 1", index=row)
    return vectors


def _sound(norms: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isfinite(norms) & (norms > 0)


def norms_of(vectors: Matrix) -> NDArray[np.float64]:
    """Lengths of rows, summed in float64: squares of float32 over- and underflow in float32."""
    with np.errstate(invalid="ignore"):  # a signalling NaN is one of the rows to be refused
        wide = vectors.astype(np.float64)  # twice as fast as a cast within the sum
    return np.sqrt(np.vecdot(wide, wide))
