"""Maximal marginal relevance: what is relevant and unlike what was chosen before.

Carbonell and Goldstein, 1998: the next pick maximises `l * relevance - (1 - l) * similarity`, where
similarity is the largest to any earlier pick.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gateway.domain.vectors import Matrix


def mmr(relevance: Sequence[float], vectors: Matrix, balance: float, count: int) -> list[int]:
    """Return the indexes of at most `count` rows in the order they are picked.

    `vectors` are unit rows, shape (n, size); `relevance` is on the scale of their dot products.
    `balance` 1 is relevance alone, 0 is diversity alone. Of equals the earlier row is picked.
    """
    left = np.asarray(relevance, np.float64) * balance
    nearest: NDArray[np.float64] = np.full(len(left), -np.inf)
    picked: list[int] = []
    while len(picked) < min(count, len(left)):
        penalty = (1 - balance) * nearest if picked else 0.0
        best = int(np.argmax(left - penalty))
        picked.append(best)
        left[best] = -np.inf
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return picked


def scaled(scores: Sequence[float]) -> list[float]:
    """Return scores of any kind stretched over 0 to 1, so that they compare with similarities."""
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]
