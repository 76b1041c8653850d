"""The last step of every query: scores made comparable, ties broken, the page cut."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeAlias
from uuid import UUID

import numpy as np

from gateway.domain.fusion import fuse
from gateway.domain.order import SCORE_DIGITS, SCORE_STEP, settle
from gateway.domain.search import Hit, HybridQuery, Pass, StageScore

SLACK: Final = 16
MAX_FETCH: Final = 40_000

COARSE: Final = "coarse"
DENSE: Final = "dense"
LEXICAL: Final = "lexical"
HYBRID: Final = "hybrid"

Fetch: TypeAlias = Callable[[int], Awaitable[Sequence[Hit]]]
"""Ask the engine for its first n hits."""


class Paged(Protocol):
    """What a page needs to know of a query."""

    @property
    def limit(self) -> int: ...

    @property
    def offset(self) -> int: ...

    @property
    def score_threshold(self) -> float | None: ...


async def page(query: Paged, fetch: Fetch) -> list[Hit]:
    """Return the hits of one page, the same in every store.

    A tie across the end of the page is only broken when all of it is seen: more is fetched until
    the last hit scores less than the page's last.
    """
    end = query.offset + query.limit
    asked = end + SLACK
    while True:
        hits = settle(await fetch(asked), query.score_threshold)
        if len(hits) < asked or hits[-1].score < hits[end - 1].score or asked >= MAX_FETCH:
            return hits[query.offset : end]
        asked = min(asked * 4, MAX_FETCH)


def engine_threshold(threshold: float | None) -> float | None:
    """Return the bound to give an engine so that rounding loses nothing."""
    return None if threshold is None else threshold - SCORE_STEP


class FirstPass:
    """The chunks that a pass over short vectors left; told of only those that are asked for."""

    def __init__(self, keys: Sequence[UUID], scores: Sequence[float]) -> None:
        self.keys = keys
        self._scores = np.round(np.asarray(scores, np.float64), SCORE_DIGITS)
        self._places = {key: place for place, key in enumerate(keys)}

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: UUID) -> bool:
        return key in self._places

    def told(self, key: UUID) -> StageScore:
        """Return score and rank of one that it left: ties by id, as everywhere."""
        score = self._scores[self._places[key]]
        before = int(np.count_nonzero(self._scores > score))
        alike = np.flatnonzero(self._scores == score).tolist()
        before += sum(self.keys[place].int < key.int for place in alike)
        return StageScore(COARSE, float(score), before + 1)


def halves_of(first: Sequence[Pass], hits: Sequence[int], seconds: Sequence[float]) -> list[Pass]:
    """Return the passes of a hybrid search: that over short vectors, if any, then both halves.

    What the first pass left, the dense half has scored.
    """
    given = first[-1].hits if first else 0
    dense, lexical = zip(hits, seconds, strict=True)
    return [*first, Pass(DENSE, given, *dense), Pass(LEXICAL, 0, *lexical)]


def fused(halves: Mapping[str, Sequence[Hit]], query: HybridQuery) -> list[Hit]:
    """Return the page of two searches fused, each hit with what the halves thought of it."""
    hits: dict[UUID, Hit] = {}
    stages: dict[UUID, list[StageScore]] = {}
    for stage, half in halves.items():
        for rank, hit in enumerate(half, start=1):
            hits.setdefault(hit.id, hit)
            told = stages.setdefault(hit.id, list(hit.stages))
            told.append(StageScore(stage, hit.score, rank))
    rankings = [[(hit.id, hit.score) for hit in half] for half in halves.values()]
    scored = (
        replace(hits[key], score=score, stages=tuple(stages[key]))
        for key, score in fuse(rankings, query.fusion).items()
    )
    found = settle(scored, query.score_threshold)
    return found[query.offset : query.offset + query.limit]
