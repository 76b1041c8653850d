"""What `gateway eval` prints."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gateway.cli._printing import printing
from gateway.cli.common import ASKED_WRONGLY, FAILED, err, out, print_error, print_table, warn
from gateway.errors import ConfigurationError, GatewayError
from gateway.evaluation.calibrating import lines_of
from gateway.evaluation.gate import Gate, Verdict
from gateway.evaluation.markdown import card_figures, columns
from gateway.evaluation.opening import Outcome
from gateway.evaluation.results import PRIMARY, Comparison, Report, Run
from gateway.evaluation.told import extent
from gateway.evaluation.written import to_text, write_report

NAME: Final = 30
"""Characters of a run's name in the table of runs; a longer one is folded, and nothing is cut."""
COMPARED: Final = 6
"""Comparisons that are printed."""


class Bar:
    """Progress on standard error: a bar on a terminal, else a line per step."""

    def __init__(self) -> None:
        self._what = ""
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._what:
            self._what = what
            self._bar.reset(self._task, description=what, total=total or None)
            if not err.is_terminal:
                with suppress(ConfigurationError), printing():
                    err.print(what, markup=False)
        self._bar.update(self._task, completed=done)


def print_report(report: Report) -> None:
    """A table of runs, the comparisons, and the recommendation last."""
    data = report.dataset
    facts = f" {data.split}: {extent(data)}"
    out.print(Text.assemble((data.name, "bold"), facts))
    print_table(_runs(report))
    if report.published:
        out.print(
            f"card: {report.published[0].benchmark} at that size, as the model card has it; another "
            "benchmark, so hold differences between sizes against it, not values",
            style="dim",
            markup=False,
        )
    found = [one for one in report.comparisons if one.metric == PRIMARY]
    for one in found[:COMPARED]:
        out.print(_compared(one), markup=False)
    if len(found) > COMPARED:
        out.print(f"... and {len(found) - COMPARED} more comparisons (--json has them)")
    if report.recommendation is not None:
        out.print(Text(f"recommended: {report.recommendation.run}", style="bold green"))
        out.print(report.recommendation.why, markup=False)
    for line in lines_of(report.calibrations):
        out.print(f"calibrated {line}", markup=False)


def print_verdict(verdict: Verdict, max_drop: float) -> None:
    """The verdict of the gate on standard error."""
    runs = f"of {verdict.compared} runs" if verdict.compared > 1 else "of 1 run"
    if verdict.fallen:
        err.print(f"[bold red]regression[/]: more than {max_drop:g} below the baseline")
    else:
        err.print(f"[bold green]no regression[/]: nothing {runs} fell by more than {max_drop:g}")
    for one in verdict.fallen:
        err.print(f"  {one}", markup=False)
    if verdict.left_out:
        err.print(
            f"not compared: {', '.join(verdict.left_out)} of the baseline, which --stages leaves out",
            markup=False,
        )


def conclude(outcome: Outcome, gate: Gate | None, folder: Path | None, *, as_json: bool) -> int:
    """Write the files and judge, then print all of it; returns the exit code, 2 before 1.

    The figures are printed whatever becomes of the files, and the files and the verdict are what they
    are whatever becomes of the output.
    """
    try:
        verdict, failures = _settled(outcome, gate, folder)
    finally:
        unprinted = _print_figures(outcome.report, as_json=as_json)
    failures += unprinted
    with suppress(ConfigurationError), printing():
        for text in outcome.report.warnings:
            warn(text)
        if gate is not None and verdict is not None:
            print_verdict(verdict, gate.max_drop)
        for exc in failures:
            print_error(exc)
    fallen = verdict is not None and bool(verdict.fallen)
    return ASKED_WRONGLY if failures else FAILED if fallen else 0


def _settled(
    outcome: Outcome, gate: Gate | None, folder: Path | None
) -> tuple[Verdict | None, list[GatewayError]]:
    """Write the files and judge; returns the verdict and all that failed."""
    failures, verdict = list(outcome.failures), None
    try:
        if folder is not None:
            write_report(outcome.report, folder)
    except GatewayError as exc:
        failures.append(exc)
    try:
        if gate is not None:
            verdict = gate.judge(outcome.report)
    except GatewayError as exc:
        failures.append(exc)
    return verdict, failures


def _print_figures(report: Report, *, as_json: bool) -> list[GatewayError]:
    """Print the report; returns what kept it from being printed."""
    try:
        with printing():
            if as_json:
                print(to_text(report), end="")
            else:
                print_report(report)
    except ConfigurationError as exc:
        return [exc]
    return []


def _runs(report: Report) -> Table:
    names = columns(report)
    table = Table(caption="p50 and p95: ms of a search without the encoding of the query")
    table.add_column("run", style="bold", max_width=NAME, overflow="fold")
    card = card_figures(report)
    for name in ("size", *names, "p50", "p95", "bytes/chunk", *(["card"] if card else [])):
        table.add_column(name, justify="right", no_wrap=True)
    for place, run in enumerate(report.runs):
        table.add_row(*_row(run, names), *card[place : place + 1])
    return table


def _row(run: Run, names: Sequence[str]) -> list[str]:
    return [
        escape(run.name),
        "" if run.by_words else str(run.configuration.size),
        *(_figure(run, name) for name in names),
        f"{run.latency.p50_ms:.1f}",
        f"{run.latency.p95_ms:.1f}",
        str(run.index.searched_bytes),
    ]


def _figure(run: Run, name: str) -> str:
    if name not in run.metrics:
        return ""
    spread = run.intervals[name] if name == PRIMARY else None
    half = "" if spread is None else f" ±{(spread.high - spread.low) / 2:.3f}"
    return f"{run.metrics[name]:.4f}{half}"


def _compared(one: Comparison) -> str:
    return (
        f"{one.run} against {one.against}: {one.metric} {one.difference:+.4f}, p = {one.p_value:.2g}, "
        f"{one.wins} queries better, {one.losses} worse, {one.ties} equal"
    )
