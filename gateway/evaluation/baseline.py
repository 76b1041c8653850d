"""An earlier report as a baseline: read, and refused where nothing could be held against it."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from gateway.errors import GatewayError, UnusableBaseline
from gateway.evaluation.report_json import report_from_json
from gateway.evaluation.results import Report
from gateway.evaluation.written import REPORT

REMEDY: Final = "write one with: gateway eval DATASET --json > baseline.json"
_NO_REPORT: Final = (KeyError, TypeError, ValueError, AttributeError, OverflowError, GatewayError)
"""What is raised of values that no report has; ours of those that its parts refuse."""


def load_baseline(path: Path) -> Report:
    """Read a report that `gateway eval --json` or `--run-dir` wrote.

    Raises:
        UnusableBaseline: it cannot be read, is no report, or has nothing that a run could fall below:
            no run, two of a kind, no measure, or one outside 0-1.
    """
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as exc:
        raise UnusableBaseline(f"baseline {str(path)!r} cannot be read: {exc}; {REMEDY}") from exc
    if not isinstance(data, dict):
        raise UnusableBaseline(f"baseline {str(path)!r} is no report; {REMEDY}")
    try:
        report = report_from_json(cast("Mapping[str, Any]", data))
        _require_told_apart(report)
        wrong = _wrong(report)
    except _NO_REPORT as exc:
        raise UnusableBaseline(
            f"baseline {str(path)!r} is no report ({type(exc).__name__}: {exc}); {REMEDY}"
        ) from exc
    if wrong:
        raise UnusableBaseline(f"baseline {str(path)!r} {wrong}; {REMEDY}")
    return report


def require_kept(baseline: Path, folder: Path) -> None:
    """Refuse a baseline that the report of this very run would take the place of.

    A second run would be held against the first, and pass whatever the first one lost.

    Raises:
        UnusableBaseline: it is the report in `folder`, by whatever name or link.
    """
    report = folder / REPORT
    if baseline.exists() and report.exists() and baseline.samefile(report):
        raise UnusableBaseline(
            f"baseline {str(baseline)!r} is what --run-dir {str(folder)!r} overwrites, so the next run "
            "would be held against this one; keep it elsewhere, or give another --run-dir"
        )


def _require_told_apart(report: Report) -> None:
    """Refuse what is no text where messages and comparisons need one."""
    dataset = report.dataset
    texts = [dataset.name, dataset.split, dataset.sha256, *(run.name for run in report.runs)]
    for text in [*texts, *(run.configuration.stage for run in report.runs)]:
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  it is read
            raise TypeError(f"{text!r} is no text")


def _wrong(report: Report) -> str:
    """Say what keeps a report from being a bar; empty where nothing does."""
    if not report.runs:
        return "has no run"
    times = Counter(run.configuration.key for run in report.runs)
    for run in report.runs:
        if times[run.configuration.key] > 1:
            return f"has {times[run.configuration.key]} runs like {run.name!r}, and which counts is open"
        if not run.metrics:
            return f"has no measure of its run {run.name!r}"
        for name, value in run.metrics.items():
            if not 0 <= value <= 1:
                return f"has {name} {value:g} in its run {run.name!r}, and measures lie within 0-1"
    return ""
