"""What a search is on its way through the stages, and how callers say what they want."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeAlias

from gateway.domain.search import Filter, Fusion, Hit, Pass, StageScore
from gateway.domain.vectors import Vector
from gateway.embedding.profile import Task

CANDIDATES: Final = 100
"""Hits of each half that a hybrid search fuses, unless told otherwise."""
_PER_DOCUMENT: Final = 4
"""Hits that are fetched for each document wanted, before it is looked whether they are enough."""
RERANK: Final = "rerank"
"""The stage at which a reranker reads hits."""


class Mode(StrEnum):
    """What a search compares: meaning (dense), words (lexical), or both (hybrid)."""

    AUTO = "auto"
    DENSE = "dense"
    LEXICAL = "lexical"
    HYBRID = "hybrid"


class OnFailure(StrEnum):
    """What becomes of a search whose reranker fails."""

    ERROR = "error"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Rerank:
    """The best `candidates` are read again by the reranker; `on_failure` says what if it cannot."""

    candidates: int = 50
    on_failure: OnFailure = OnFailure.ERROR

    def but(self, candidates: int | None, on_failure: OnFailure | None) -> "Rerank":
        """Return the same with what is said instead; None says nothing."""
        return Rerank(
            self.candidates if candidates is None else candidates,
            self.on_failure if on_failure is None else on_failure,
        )


USUAL_RERANK: Final = Rerank()
"""How hits are read again unless it is said otherwise."""


class GroupScore(StrEnum):
    """What a document is worth: its best chunk, or the sum over its chunks that were found."""

    BEST = "best"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class Group:
    """Hits by document: `size` chunks of each, documents in order of `score`."""

    score: GroupScore = GroupScore.BEST
    size: int = 1


@dataclass(frozen=True, slots=True)
class Ask:
    """One text of a search, with its unit float32 vector, shape (size,), where the mode needs one."""

    text: str
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One search on its way through the stages. Vectors are of `space`.

    `limit` and `offset` count hits, or documents where they are grouped. `coarse` candidates per hit
    are left by a first pass over short vectors; `candidates` of each half are fused, or chosen among
    by a later stage. `task` is what the texts were embedded for. `warnings` gathers what the caller
    should hear, `skipped` the stages that failed and were left out, `passes` what an explained search
    is told of by the store.
    """

    collection: str
    asks: tuple[Ask, ...]
    space: str
    limit: int
    offset: int = 0
    where: Filter | None = None
    score_threshold: float | None = None
    exact: bool = False
    mode: Mode = Mode.DENSE
    coarse: float | None = None
    fusion: Fusion = field(default_factory=Fusion)
    candidates: int = CANDIDATES
    rerank: Rerank | None = None
    mmr: float | None = None
    group: Group | None = None
    neighbours: int = 0
    explain: bool = False
    task: str = Task.QUERY
    warnings: list[str] = field(default_factory=list[str], compare=False)
    skipped: set[str] = field(default_factory=set[str], compare=False)
    passes: list[Pass] = field(default_factory=list[Pass], init=False, compare=False)

    @property
    def wanted(self) -> int:
        """Hits (or documents) up to the end of the page."""
        return self.offset + self.limit

    @property
    def pool(self) -> int:
        """Hits that MMR chooses among, or that documents are summed over; a reranker has read them all.

        It is the same on every page, like `read`: else pages would repeat some hits and hide others.
        """
        among = self.candidates
        if self.rerank is not None:
            among = min(among, self.rerank.candidates)
        return max(among, self.limit)

    @property
    def read(self) -> int:
        """Hits that a reranker orders at a time: the first so many, then the next, and so on."""
        return self.limit if self.rerank is None else max(self.rerank.candidates, self.limit)

    @property
    def reach(self) -> int:
        """Hits (or documents, where grouped) that the page depends on: whole parts of a reranker."""
        if self.rerank is None or (self.group is not None and not self.offset):
            return self.wanted
        if self.group is not None:
            return self.wanted + self.limit
        return self.read * -(-self.wanted // self.read)

    @property
    def depth(self) -> int:
        """Hits to fetch first, so that every later stage has enough to choose from."""
        deepest = [self.reach] if self.group is None else [_PER_DOCUMENT * self.reach, self.read]
        if self.mmr is not None or (self.group and self.group.score is GroupScore.SUM):
            deepest.append(self.pool)
        return max(deepest)

    @property
    def fuses(self) -> bool:
        """Tell whether several rankings become one."""
        return self.mode is Mode.HYBRID or len(self.asks) > 1

    @property
    def width(self) -> int:
        """How deep each ranking goes whose hits change places when it goes deeper: as page one needs.

        Those are fused ones, and those of a first pass over short vectors.
        """
        first = replace(self, offset=0).depth
        return max(first, self.candidates) if self.fuses else first


Stage: TypeAlias = Callable[[Query, Sequence[Hit]], Awaitable[Sequence[Hit]]]


def noted(stage: str, hits: Sequence[Hit]) -> list[Hit]:
    """Return hits with the stage's score and rank appended to each."""
    return [
        replace(hit, stages=(*hit.stages, StageScore(stage, hit.score, rank)))
        for rank, hit in enumerate(hits, start=1)
    ]
