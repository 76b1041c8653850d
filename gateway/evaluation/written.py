"""The files of an evaluation: report as JSON, Markdown and HTML, and a TREC run file of each run."""

import json
from pathlib import Path
from typing import Final

from gateway.errors import ConfigurationError
from gateway.evaluation.folders import try_to_write
from gateway.evaluation.html import html_page
from gateway.evaluation.markdown import markdown
from gateway.evaluation.report_json import report_to_json
from gateway.evaluation.results import Report
from gateway.evaluation.trec import file_name, run_lines

REPORT: Final = "report.json"
RUNS: Final = "runs"


def require_writable(folder: Path) -> None:
    """See that a report can be written into a folder, which is made when it is.

    Raises:
        ConfigurationError: it cannot.
    """
    try:
        for each in (folder, folder / RUNS):
            try_to_write(each)
    except OSError as exc:
        raise ConfigurationError(f"cannot write into {str(folder)!r}: {exc}") from exc


def write_report(report: Report, folder: Path) -> None:
    """Write `report.json`, `report.md`, `report.html` and `runs/*.trec` into a folder, which is made.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    try:
        (folder / RUNS).mkdir(parents=True, exist_ok=True)
        _write(folder / REPORT, to_text(report))
        _write(folder / "report.md", markdown(report))
        _write(folder / "report.html", html_page(report))
        for run in report.runs:
            with (folder / RUNS / file_name(run)).open("w", encoding="utf-8") as file:
                file.writelines(run_lines(run))
    except OSError as exc:
        raise ConfigurationError(f"cannot write into {str(folder)!r}: {exc}") from exc


def to_text(report: Report) -> str:
    """Return the report as a JSON document."""
    return json.dumps(report_to_json(report), ensure_ascii=False, indent=2) + "\n"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
