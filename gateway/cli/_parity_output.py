"""What `gateway parity` prints and writes."""

import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import orjson
from rich.status import Status as Spinner
from rich.table import Table

from gateway.cli.common import err, fail, out
from gateway.errors import ConfigurationError
from gateway.parity.compare import Comparison
from gateway.parity.layers.judged import Judged, Status
from gateway.parity.report import Report, to_json
from gateway.parity.reports.figures import figures
from gateway.parity.reports.html import html_page
from gateway.parity.reports.junit import junit as junit_xml

MARKS = {Status.OK: "[green]ok[/]", Status.FAIL: "[bold red]FAIL[/]", Status.SKIP: "[dim]skip[/]"}


class Telling:
    """Progress on standard error: a line that moves on a terminal, else a line per step."""

    def __init__(self) -> None:
        self._spinner = Spinner("starting", console=err) if err.is_terminal else None
        self._what = ""

    def __enter__(self) -> Self:
        if self._spinner is not None:
            self._spinner.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._spinner is not None:
            self._spinner.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._spinner is not None:
            self._spinner.update(f"asking {what}: {done} of {total}")
        elif what != self._what:
            self._what = what
            err.print(f"asking {what}: {total} texts", markup=False)


def write_files(
    report: Report, *, as_json: Path | None, junit: Path | None, html: Path | None
) -> None:
    """Write the forms that were asked for; '-' is standard output for JSON."""
    encoded = orjson.dumps(to_json(report), option=orjson.OPT_INDENT_2).decode() + "\n"
    if as_json is not None and str(as_json) == "-":
        sys.stdout.write(encoded)
    elif as_json is not None:
        _write(as_json, encoded)
    if junit is not None:
        _write(junit, junit_xml(report))
    if html is not None:
        _write(html, html_page(report))


def print_report(report: Report) -> None:
    """A table per candidate, and the verdict last, where the eye is."""
    for one in report.comparisons:
        out.print(_table(one))
        for layer in one.failed:
            for failure in layer.failures:
                out.print(f"[red]{layer.layer}[/]: ", end="")
                out.print(failure, markup=False)
        if one.cause:
            out.print(one.cause, style="bold", markup=False)
    out.print(
        f"reference {report.reference}, {report.texts} texts of up to {report.longest} tokens, "
        f"corpus sha256 {report.corpus[:12]}, space {report.space}",
        style="dim",
        markup=False,
    )
    good = report.ok
    out.print("[bold green]IN PARITY[/]" if good else "[bold red]NOT IN PARITY[/]")


def _table(one: Comparison) -> Table:
    about = one.about
    title = f"{about.kind} at {about.where}, {about.dtype or 'dtype not told'}"
    bars = f"bars of {one.bars.dtype}"
    table = Table(title=title, caption=bars, title_justify="left", caption_justify="left")
    table.add_column("layer", style="bold", no_wrap=True)
    table.add_column("")
    table.add_column("figures", overflow="fold")
    for layer in one.layers:
        table.add_row(layer.layer, MARKS[layer.status], _told(layer))
    return table


def _told(layer: Judged) -> str:
    return layer.note or figures(layer.figures)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        fail(ConfigurationError(f"cannot write {str(path)!r}: {exc.strerror}"))
