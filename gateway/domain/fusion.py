"""Several rankings made one, by Qdrant's formulas: the same result in every store.

Reciprocal rank fusion: Cormack, Clarke and Buettcher, 2009. Distribution-based score fusion: Mazzeschi,
2023. Pure functions over ids; a hit that a ranking does not have gets nothing from it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from gateway.domain.search import Fusion, FusionMethod

Ranking = Sequence[tuple[UUID, float]]
"""Ids with their scores, best first."""

_SIGMAS: Final = 3.0
_FLAT: Final = 0.5


def fuse(rankings: Sequence[Ranking], fusion: Fusion) -> dict[UUID, float]:
    """Return the fused score of every id that is in any of the rankings."""
    if fusion.method is FusionMethod.DBSF:
        return _added([_normalised(ranking) for ranking in rankings])
    weighted = zip(rankings, fusion.weights, strict=True)
    return _added([_reciprocal(ranking, fusion.k, weight) for ranking, weight in weighted])


def fuse_equals(rankings: Sequence[Ranking], k: int) -> dict[UUID, float]:
    """Return the fused score of every id where all rankings weigh the same (RRF)."""
    return _added([_reciprocal(ranking, k, 1.0) for ranking in rankings])


def rrf_score(rank: int, k: int, weight: float = 1.0) -> float:
    """Worth of a rank that counts from 1: `1 / (k + rank)`, and with a weight `1 / (k + rank / weight)`.

    A weight stretches the ranks, as in Qdrant: half the weight is twice the rank, not half the worth.
    """
    return 1.0 / (k + rank / weight) if weight > 0 else 0.0


def _reciprocal(ranking: Ranking, k: int, weight: float) -> dict[UUID, float]:
    return {key: rrf_score(rank, k, weight) for rank, (key, _) in enumerate(ranking, start=1)}


def _normalised(ranking: Ranking) -> dict[UUID, float]:
    """Map scores so that three standard deviations below the mean are 0, and above it 1."""
    scores = [score for _, score in ranking]
    if not scores:
        return {}
    mean = math.fsum(scores) / len(scores)
    squares = math.fsum((score - mean) ** 2 for score in scores)
    deviation = math.sqrt(squares / (len(scores) - 1)) if len(scores) > 1 else 0.0
    if deviation == 0.0:
        return {key: _FLAT for key, _ in ranking}
    low, width = mean - _SIGMAS * deviation, 2 * _SIGMAS * deviation
    return {key: (score - low) / width for key, score in ranking}


def _added(parts: Sequence[Mapping[UUID, float]]) -> dict[UUID, float]:
    total: dict[UUID, float] = {}
    for part in parts:
        for key, score in part.items():
            total[key] = total.get(key, 0.0) + score
    return total
