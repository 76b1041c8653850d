"""Is it worse than before? An earlier report as the bar for this one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import UnusableBaseline
from gateway.evaluation.results import VARIANT, Dataset, Facts, Option, Report, Run

MAX_DROP: Final = 0.01
_SLACK: Final = 1e-6
"""Figures are written with 6 decimals."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A measure of a run that fell by more than was allowed."""

    run: str
    metric: str
    before: float
    now: float

    def __str__(self) -> str:
        return (
            f"{self.run}: {self.metric} fell from {self.before:.4f} to {self.now:.4f} "
            f"({self.now - self.before:+.4f})"
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found: how many runs it compared, measures of them that fell, runs left out."""

    compared: int
    fallen: tuple[Regression, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """An earlier report as the bar: no measure may fall by more than `max_drop`, no run drop out.

    `stages` are those that were asked for by name: then the baseline's runs of other stages do not
    count, as they were left out on purpose.
    """

    baseline: Report
    max_drop: float = MAX_DROP
    stages: Collection[str] | None = None

    def require_planned(self, dataset: Dataset, depth: int, planned: Sequence[Facts]) -> None:
        """Refuse a baseline that cannot be compared with what is going to be measured.

        `planned` is what is known of each run; what is not known shows only when it is measured.

        Raises:
            UnusableBaseline: says what differs.
        """
        self._require_same_set(dataset, depth)
        self._require_same_runs([(facts, _called(facts)) for facts in planned])

    def judge(self, report: Report) -> Verdict:
        """Hold a report against the baseline.

        Raises:
            UnusableBaseline: another set, other queries, or runs or measures that one of both lacks.
        """
        self._require_same_set(report.dataset, report.depth)
        self._require_same_runs(_named(report))
        before = {run.configuration.key: run for run in self.baseline.runs}
        fallen = [
            one for run in report.runs for one in self._fallen(run, before[run.configuration.key])
        ]
        known = {run.configuration.key for run in report.runs}
        left_out = [run.name for run in self.baseline.runs if run.configuration.key not in known]
        return Verdict(len(report.runs), tuple(fallen), tuple(left_out))

    def _require_same_set(self, ours: Dataset, depth: int) -> None:
        theirs = self.baseline.dataset
        if (ours.sha256, ours.split) != (theirs.sha256, theirs.split):
            raise UnusableBaseline(
                f"the baseline measured another set: {theirs.name!r} split {theirs.split!r} of sha256 "
                f"{theirs.sha256[:12]}, and this is {ours.name!r} split {ours.split!r} of sha256 "
                f"{ours.sha256[:12]}; make a new baseline"
            )
        if (ours.queries, depth) != (theirs.queries, self.baseline.depth):
            raise UnusableBaseline(
                f"the baseline measured {theirs.queries} queries {self.baseline.depth} documents deep, "
                f"and this run {ours.queries} queries {depth} deep; use the same --limit-queries and "
                "--top"
            )

    def _require_same_runs(self, ours: Sequence[tuple[Facts, str]]) -> None:
        """Refuse runs that one side lacks; of ours, some facts may not be known."""
        theirs = _named(self.baseline)
        missing = [
            _unlike(facts, name, theirs)
            for facts, name in ours
            if not any(_agree(facts, before) for before, _ in theirs)
        ]
        if missing:
            raise UnusableBaseline(
                f"the baseline has no run {', nor '.join(missing)} (it has "
                f"{', '.join(name for _, name in theirs)}); make a new baseline, or give --stages"
            )
        lost = [
            name
            for before, name in theirs
            if self.stages is None or before["stage"] in self.stages
            if not any(_agree(facts, before) for facts, _ in ours)
        ]
        if lost:
            raise UnusableBaseline(
                f"the baseline has {', '.join(lost)}, and no such run is here: measure the same "
                "stages, sizes, quantisations and variants, give --stages to compare those stages "
                "alone, or make a new baseline"
            )

    def _fallen(self, run: Run, before: Run) -> list[Regression]:
        missing = [metric for metric in before.metrics if metric not in run.metrics]
        if missing:
            raise UnusableBaseline(
                f"the baseline's run {before.name} has {', '.join(missing)}, and this one's has not: "
                "what is not measured cannot pass; make a new baseline"
            )
        return [
            Regression(run.name, metric, value, run.metrics[metric])
            for metric, value in before.metrics.items()
            if run.metrics[metric] < value - self.max_drop - _SLACK
        ]


def _named(report: Report) -> list[tuple[Facts, str]]:
    return [(run.configuration.facts, run.name) for run in report.runs]


def _called(planned: Facts) -> str:
    """Return a name for a run to be, of what is known: `dense 512 int8 (encoder=local)`."""
    parts = [planned.get(fact) for fact in ("stage", "size", "quantization")]
    known = [str(part) for part in parts if part is not None]
    return " ".join([*known, *([f"({planned[VARIANT]})"] if planned[VARIANT] else [])])


def _agree(known: Facts, before: Facts) -> bool:
    return known.items() <= before.items()


def _unlike(facts: Facts, name: str, theirs: Sequence[tuple[Facts, str]]) -> str:
    """Return the name of a run that is missing, with what tells it from the likest of its stage."""
    told = [
        sorted(
            f"{fact} {_or_none(value)}, not {_or_none(before[fact])}" for fact, value in differing
        )
        for before, _ in theirs
        if before["stage"] == facts["stage"]
        for differing in [facts.items() - before.items()]
    ]
    if not told:
        return name
    return f"{name} of {' and '.join(min(told, key=len))}"


def _or_none(value: Option) -> str:
    return "none" if value is None else str(value)
