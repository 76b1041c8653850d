"""Is it worse than before? An earlier report as the bar for this one."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway.errors import UnusableBaseline
from gateway.evaluation.results import VARIANT, Configuration, Dataset, Option, Report, Run

MAX_DROP: Final = 0.01
_SLACK: Final = 1e-6
"""Figures are written with 6 decimals."""

Key: TypeAlias = tuple[Option, ...]
"""What tells runs apart: the stage, then whatever else is known of it."""


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

    def require_planned(self, dataset: Dataset, depth: int, planned: Sequence[Key]) -> None:
        """Refuse a baseline that cannot be compared with what is going to be measured.

        `planned` are stage, size and variant of each run, the size None where none is known or
        needed. Other differences show only when all is measured.

        Raises:
            UnusableBaseline: says what differs.
        """
        self._require_same_set(dataset, depth)
        sized = {stage: any(key[1] for key in planned if key[0] == stage) for stage, *_ in planned}
        ours = [(key, " ".join(str(part) for part in key if part is not None)) for key in planned]
        theirs = [
            (_planned(run.configuration, sized.get(run.configuration.stage, False)), run.name)
            for run in self.baseline.runs
        ]
        self._require_same_runs(ours, theirs)

    def judge(self, report: Report) -> Verdict:
        """Hold a report against the baseline.

        Raises:
            UnusableBaseline: another set, other queries, or runs or measures that one of both lacks.
        """
        self._require_same_set(report.dataset, report.depth)
        self._require_same_runs(_named(report), _named(self.baseline))
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

    def _require_same_runs(
        self, ours: Sequence[tuple[Key, str]], theirs: Sequence[tuple[Key, str]]
    ) -> None:
        before, now = {key for key, _ in theirs}, {key for key, _ in ours}
        missing = [name for key, name in ours if key not in before]
        if missing:
            raise UnusableBaseline(
                f"the baseline has no run {', '.join(missing)} of the same size and quantisation (it "
                f"has {', '.join(name for _, name in theirs)}); make a new baseline, or give --stages"
            )
        asked = [
            (key, name) for key, name in theirs if self.stages is None or key[0] in self.stages
        ]
        lost = [name for key, name in asked if key not in now]
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


def _named(report: Report) -> list[tuple[Key, str]]:
    return [(run.configuration.key, run.name) for run in report.runs]


def _planned(configuration: Configuration, sized: bool) -> Key:
    """What is known of a run before it is made; `sized`: also its size."""
    size = configuration.size if sized and not configuration.by_words else None
    return (configuration.stage, size, configuration.options.get(VARIANT))
