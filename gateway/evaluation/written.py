"""The files of an evaluation: report as JSON, Markdown and HTML, and a TREC run file of each run."""

import json
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigurationError
from gateway.evaluation.folders import replace_file, try_to_write
from gateway.evaluation.html import html_page
from gateway.evaluation.markdown import markdown
from gateway.evaluation.report_json import report_to_json
from gateway.evaluation.results import Report
from gateway.evaluation.trec import file_names, run_lines

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

    Each file is replaced as a whole. Run files of an earlier report in the folder that this one has
    not are removed; files of anybody else stay.

    Raises:
        ConfigurationError: the folder cannot be written.
    """
    runs, names = folder / RUNS, file_names(run.name for run in report.runs)
    try:
        runs.mkdir(parents=True, exist_ok=True)
        for run in report.runs:
            replace_file(runs / names[run.name], run_lines(run))
        replace_file(folder / "report.md", [markdown(report)])
        replace_file(folder / "report.html", [html_page(report)])
        for name in _earlier(folder) - {*names.values()}:
            (runs / name).unlink(missing_ok=True)
        replace_file(folder / REPORT, [to_text(report)])
    except OSError as exc:
        raise ConfigurationError(f"cannot write into {str(folder)!r}: {exc}") from exc


def to_text(report: Report) -> str:
    """Return the report as a JSON document."""
    return json.dumps(report_to_json(report), ensure_ascii=False, indent=2) + "\n"


def _earlier(folder: Path) -> set[str]:
    """Names of the run files of the report that the folder holds; none where it holds no report."""
    try:
        data: Any = json.loads((folder / REPORT).read_text("utf-8"))
        return {*file_names(run["name"] for run in data["runs"]).values()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return set()
