"""Is it worse than before? An earlier report as the bar for this one."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from gateway.errors import UnusableBaseline
from gateway.evaluation.report_json import report_from_json
from gateway.evaluation.results import Report, Run

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
    """What the gate found: `compared` runs, the measures of them that fell, the runs left out."""

    compared: int
    fallen: tuple[Regression, ...]
    left_out: tuple[str, ...]
    max_drop: float

    @classmethod
    def of(
        cls, report: Report, baseline: Report, max_drop: float, stages: Collection[str] | None
    ) -> "Verdict":
        """Hold a report against a baseline.

        Raises:
            UnusableBaseline: as `regressions`.
        """
        fallen = regressions(report, baseline, max_drop=max_drop, stages=stages)
        known = {run.configuration.key for run in report.runs}
        left_out = (run.name for run in baseline.runs if run.configuration.key not in known)
        return cls(len(report.runs), tuple(fallen), tuple(left_out), max_drop)


def load_baseline(path: Path) -> Report:
    """Read a report that `gateway eval --json` or `--run-dir` wrote.

    Raises:
        UnusableBaseline: it cannot be read, or is no report.
    """
    remedy = "write one with: gateway eval DATASET --json > baseline.json"
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise UnusableBaseline(f"baseline {str(path)!r} cannot be read: {exc}; {remedy}") from exc
    if not isinstance(data, dict):
        raise UnusableBaseline(f"baseline {str(path)!r} is no report; {remedy}")
    try:
        return report_from_json(cast("Mapping[str, Any]", data))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise UnusableBaseline(
            f"baseline {str(path)!r} is no report ({type(exc).__name__}: {exc}); {remedy}"
        ) from exc


def require_comparable(
    report: Report, baseline: Report, *, stages: Collection[str] | None = None
) -> None:
    """Refuse a baseline of other queries or judgments, or of other runs: none may drop out unseen.

    With `stages` the baseline's runs of other stages do not count: they were left out on purpose.

    Raises:
        UnusableBaseline: says what differs.
    """
    ours, theirs = report.dataset, baseline.dataset
    if (ours.sha256, ours.split) != (theirs.sha256, theirs.split):
        raise UnusableBaseline(
            f"the baseline measured another set: {theirs.name!r} split {theirs.split!r} of sha256 "
            f"{theirs.sha256[:12]}, and this is {ours.name!r} split {ours.split!r} of sha256 "
            f"{ours.sha256[:12]}; make a new baseline"
        )
    if (ours.queries, report.depth) != (theirs.queries, baseline.depth):
        raise UnusableBaseline(
            f"the baseline measured {theirs.queries} queries {baseline.depth} documents deep, and "
            f"this run {ours.queries} queries {report.depth} deep; use the same --limit-queries "
            "and --top"
        )
    _require_runs(report.runs, baseline.runs, stages)


def regressions(
    report: Report,
    baseline: Report,
    *,
    max_drop: float = MAX_DROP,
    stages: Collection[str] | None = None,
) -> Sequence[Regression]:
    """Return every measure of every run that is more than `max_drop` below the baseline's.

    Raises:
        UnusableBaseline: as `require_comparable`; or a measure of the baseline is missing.
    """
    require_comparable(report, baseline, stages=stages)
    before = {run.configuration.key: run for run in baseline.runs}
    return [
        fallen
        for run in report.runs
        for fallen in _fallen(run, before[run.configuration.key], max_drop)
    ]


def _require_runs(
    ours: Sequence[Run], theirs: Sequence[Run], stages: Collection[str] | None
) -> None:
    now = {run.configuration.key for run in ours}
    before = {run.configuration.key for run in theirs}
    missing = [run.name for run in ours if run.configuration.key not in before]
    if missing:
        raise UnusableBaseline(
            f"the baseline has no run {', '.join(missing)} of the same size and quantisation (it "
            f"has {', '.join(run.name for run in theirs)}); make a new baseline, or give --stages"
        )
    asked = [run for run in theirs if stages is None or run.configuration.stage in stages]
    lost = [run.name for run in asked if run.configuration.key not in now]
    if lost:
        raise UnusableBaseline(
            f"the baseline has {', '.join(lost)}, and no such run is here: measure the same stages, "
            "sizes, quantisations and variants, give --stages to compare those stages alone, or make "
            "a new baseline"
        )


def _fallen(run: Run, before: Run, max_drop: float) -> list[Regression]:
    missing = [metric for metric in before.metrics if metric not in run.metrics]
    if missing:
        raise UnusableBaseline(
            f"the baseline's run {before.name} has {', '.join(missing)}, and this one's has not: what "
            "is not measured cannot pass; make a new baseline"
        )
    return [
        Regression(run.name, metric, value, run.metrics[metric])
        for metric, value in before.metrics.items()
        if run.metrics[metric] < value - max_drop - _SLACK
    ]
