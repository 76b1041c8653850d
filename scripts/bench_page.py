"""What a benchmark found, held against its targets: as a table, and as a section of the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

PAGE: Final = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEADINGS: Final = ("Measure", "Target", "Measured", "Verdict")


@dataclass(frozen=True)
class Row:
    """One line of the table; `met` is None where nothing is demanded."""

    measure: str
    target: str
    measured: str
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return {True: "met", False: "MISSED", None: ""}[self.met]


def show(console: Console, title: str, table: Sequence[Row]) -> None:
    """Draw the table on a terminal."""
    drawn = Table(*HEADINGS, title=title)
    for row in table:
        style = {True: "green", False: "bold red", None: ""}[row.met]
        drawn.add_row(
            row.measure, row.target, row.measured, f"[{style}]{row.verdict}[/]" if style else ""
        )
    console.print(drawn)


def table_lines(table: Sequence[Row]) -> list[str]:
    """Return the table in Markdown."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---|---|---|---|"]
    lines += [f"| {r.measure} | {r.target} | {r.measured} | {r.verdict} |" for r in table]
    return lines


def write(section: str, name: str, page: Path = PAGE) -> None:
    """Put a section between the page's two marks of a benchmark's name."""
    begin = f"<!-- {name}: begin, written by scripts/{name.replace('-', '_')}.py --write -->"
    end = f"<!-- {name}: end -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _old, closed, after = rest.partition(end)
    if not found or not closed:
        raise RuntimeError(f"{page.name} has no marks of {name} to write between")
    page.write_text(f"{before}{begin}\n\n{section}\n\n{end}{after}", encoding="utf-8")
