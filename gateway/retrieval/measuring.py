"""Ways to search a collection, tried one after another: recall, time and bytes of each."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final
from uuid import UUID

from gateway.domain.collections import CollectionSpec, Quantization, Tuning
from gateway.domain.footprint import Footprint, footprint
from gateway.domain.search import DenseQuery
from gateway.domain.vectors import Matrix
from gateway.errors import InvalidRequest
from gateway.ports import VectorStore
from gateway.retrieval.retrieve import coarse_candidates

OVERSAMPLINGS: Final = (1.0, 2.0, 3.0, 4.0, 8.0)
COARSE_OVERSAMPLINGS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
WIDEST_EF: Final = 512
_WARM_UP: Final = 3

Say = Callable[[str], None]
"""Told in a few words what is being done."""


@dataclass(frozen=True, slots=True)
class TuningPlan:
    """What to try: `limit` hits of `queries` queries over at most `points` chunks, to reach `recall`."""

    recall: float = 0.99
    limit: int = 10
    queries: int = 100
    points: int = 100_000
    kinds: tuple[Quantization, ...] = tuple(Quantization)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.recall <= 1:
            raise InvalidRequest(f"recall is {self.recall}; take 0-1, such as 0.99", field="recall")
        for name, most in (("limit", 1_000), ("queries", 10_000), ("points", 10_000_000)):
            if not 1 <= getattr(self, name) <= most:
                raise InvalidRequest(f"{name} is {getattr(self, name)}; take 1-{most}", field=name)


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to search as it was measured: recall against exact search, median milliseconds."""

    tuning: Tuning
    recall: float
    milliseconds: float
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class TuningReport:
    """All trials, exact search first, and the one `chosen`: the fastest that reaches the recall.

    `coarse` is the size of the short vectors that are looked through first, None without.
    `chosen` is None where no trial reaches it. `indexed` says whether the copy is large enough for an
    index; below, every search is exact but for the first pass over short vectors, no other kind of
    quantisation is tried, and the collection's own is kept.
    """

    collection: str
    points: int
    queries: int
    limit: int
    wanted: float
    indexed: bool
    coarse: int | None
    exact_milliseconds: float
    trials: Sequence[Trial]
    chosen: Trial | None

    @property
    def exact_is_as_fast(self) -> bool:
        """Whether exact search of the full vectors took no longer than what was chosen instead."""
        approximate = self.indexed or self.coarse is not None
        return (
            approximate
            and self.chosen is not None
            and self.exact_milliseconds <= self.chosen.milliseconds
        )


class Measuring:
    """Trials over one collection that nobody else searches."""

    def __init__(
        self,
        store: VectorStore,
        spec: CollectionSpec,
        queries: Matrix,
        plan: TuningPlan,
        say: Say,
    ) -> None:
        self._store = store
        self._spec = spec
        self._queries = queries
        self._plan = plan
        self._say = say

    async def run(self, name: str) -> TuningReport:
        """Measure all that the plan names for the collection `name`, and choose."""
        self._say("searching exactly")
        truth, exact = await self._answers(self._spec, exact=True)
        self._say("building the index")
        indexed = await self._store.optimize(self._spec.name)
        kinds = self._plan.kinds if indexed else (self._spec.tuning.quantization,)
        trials: list[Trial] = []
        for kind in kinds:
            trials.extend(await self._widened(kind, truth, indexed=indexed))
        reaching = [trial for trial in trials if trial.recall >= self._plan.recall]
        return TuningReport(
            collection=name,
            points=await self._store.count(self._spec.name),
            queries=len(self._queries),
            limit=self._plan.limit,
            wanted=self._plan.recall,
            indexed=indexed,
            coarse=self._spec.coarse,
            exact_milliseconds=exact,
            trials=trials,
            chosen=min(reaching, key=lambda trial: trial.milliseconds, default=None),
        )

    async def _widened(
        self, kind: Quantization, truth: Sequence[set[UUID]], *, indexed: bool
    ) -> list[Trial]:
        """Search with one kind of quantisation, wider and wider until the recall is reached."""
        trials: list[Trial] = []
        base = Tuning(quantization=kind) if indexed else self._spec.tuning
        for tuning in _ways(base, coarse=self._spec.coarse is not None, indexed=indexed):
            self._say(f"trying {kind.value}, {_width(self._spec, tuning)}")
            spec = await self._store.amend(replace(self._spec, tuning=tuning))
            if not trials and indexed:
                await self._store.optimize(spec.name)
            found, milliseconds = await self._answers(spec)
            trial = Trial(
                tuning=tuning,
                recall=_recall(found, truth),
                milliseconds=milliseconds,
                footprint=footprint(spec, indexed=indexed),
            )
            trials.append(trial)
            if trial.recall >= self._plan.recall:
                break
        return trials

    def _first_pass(self, spec: CollectionSpec) -> int | None:
        oversampling = None if spec.coarse is None else spec.tuning.coarse_oversampling
        return coarse_candidates(oversampling, self._plan.limit)

    async def _answers(
        self, spec: CollectionSpec, *, exact: bool = False
    ) -> tuple[list[set[UUID]], float]:
        """Return the hits of every query, and the median milliseconds of one."""
        found: list[set[UUID]] = []
        times: list[float] = []
        for index in [*range(min(_WARM_UP, len(self._queries))), *range(len(self._queries))]:
            query = DenseQuery(
                self._queries[index],
                self._plan.limit,
                spec.space,
                exact=exact,
                coarse=None if exact else self._first_pass(spec),
            )
            started = time.perf_counter()
            hits = await self._store.query(spec.name, query)
            times.append((time.perf_counter() - started) * 1e3)
            found.append({hit.id for hit in hits})
        skipped = len(found) - len(self._queries)
        return found[skipped:], median(times[skipped:])


def _ways(base: Tuning, *, coarse: bool, indexed: bool) -> Iterator[Tuning]:
    """Return ways to search, from the cheapest to the widest; without an index only `coarse` counts."""
    ways = [base]
    if coarse:
        ways = [replace(base, coarse_oversampling=each) for each in COARSE_OVERSAMPLINGS]
    elif indexed and base.quantization is not Quantization.NONE:
        ways = [replace(base, oversampling=each) for each in OVERSAMPLINGS]
    yield from ways
    if indexed:
        yield replace(ways[-1], hnsw_ef=WIDEST_EF)


def _width(spec: CollectionSpec, tuning: Tuning) -> str:
    if spec.coarse is not None:
        return f"coarse oversampling {tuning.coarse_oversampling:g}, ef {tuning.hnsw_ef}"
    return f"oversampling {tuning.oversampling:g}, ef {tuning.hnsw_ef}"


def _recall(found: Sequence[set[UUID]], truth: Sequence[set[UUID]]) -> float:
    """Mean share of the exact hits that were found."""
    shares = [len(a & b) / len(b) for a, b in zip(found, truth, strict=True) if b]
    return sum(shares) / len(shares) if shares else 1.0
