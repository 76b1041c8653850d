"""The order of hits: by score, highest first, ties by id.

Engines sum in their own order and models in batches of any size, so the same vector or text scores a
few units of 1e-8 apart from one call to the next. Scores are therefore rounded to `SCORE_DIGITS`
before they are compared.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final
from uuid import UUID

from gateway.domain.search import Hit

SCORE_DIGITS: Final = 6
SCORE_STEP: Final = 10.0**-SCORE_DIGITS


def ranked(hits: Iterable[Hit]) -> list[Hit]:
    """Order hits by score, highest first, ties by id: engines break ties each in their own way."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.id.int))


def settle(hits: Iterable[Hit], threshold: float | None = None) -> list[Hit]:
    """Round, keep what reaches the threshold, and order."""
    rounded = (replace(hit, score=round(float(hit.score), SCORE_DIGITS)) for hit in hits)
    return ranked(hit for hit in rounded if threshold is None or hit.score >= threshold)


def settled(pairs: Iterable[tuple[UUID, float]]) -> list[tuple[UUID, float]]:
    """Round scores and order them, ties by id, as `settle` does with whole hits."""
    rounded = [(key, round(float(score), SCORE_DIGITS)) for key, score in pairs]
    return sorted(rounded, key=lambda pair: (-pair[1], pair[0].int))
