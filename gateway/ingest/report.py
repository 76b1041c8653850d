"""What became of every document, in a memory that does not grow with their number."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.errors import UpstreamError

MAX_PROBLEMS: Final = 1000
"""Rows kept in a report; `on_document` sees all of them."""


class Outcome(StrEnum):
    """What an ingest did with a document, or with a piece of a source that gave none."""

    ADDED = "added"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    EMPTY = "empty"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Row:
    """One document's line of the report. `chunks` and `tokens` are those written in this run.

    `document_id` is None for what could not be read; `line` counts from 1 within `source`.
    """

    outcome: Outcome
    document_id: str | None
    source: str = ""
    line: int | None = None
    chunks: int = 0
    tokens: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts so far. `chunks` and `tokens` were acknowledged by the store; nothing is truncated."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    empty: int = 0
    failed: int = 0
    skipped: int = 0
    chunks: int = 0
    tokens: int = 0
    truncated_tokens: int = 0

    @property
    def documents(self) -> int:
        """Documents and unreadable records seen; skipped files are none."""
        return self.added + self.updated + self.unchanged + self.empty + self.failed


@dataclass(frozen=True, slots=True)
class Progress:
    """Totals after some work, and the seconds since the start."""

    totals: Totals
    seconds: float

    @property
    def chunks_per_second(self) -> float:
        return self.totals.chunks / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The end of an ingest. `problems` are the rows of failed, empty and skipped documents.

    At most `MAX_PROBLEMS` of them; `problems_left_out` counts the others. `not_ingested` names
    documents that were read and not finished when an ingest was stopped.
    """

    collection: str
    totals: Totals
    seconds: float
    problems: tuple[Row, ...] = ()
    problems_left_out: int = 0
    not_ingested: tuple[str, ...] = ()
    complete: bool = True


class IngestAborted(UpstreamError):
    """A service failed for good in the middle. `report` says what is stored, `cause` why it ended.

    Acknowledged chunks stay; the same ingest run again skips the documents that are done.
    """

    slug = "ingest-aborted"
    title = "The ingest stopped before its end"

    def __init__(self, cause: UpstreamError, report: IngestReport) -> None:
        done, waiting = report.totals.documents, report.not_ingested
        names = ", ".join(repr(name) for name in waiting[:3]) or "none"
        super().__init__(
            f"{cause}; {done} documents were done, {len(waiting)} read but not ingested ({names}"
            f"{', ...' if len(waiting) > 3 else ''}), the rest not read: run the same ingest again, "
            "what is done is skipped",
            service=cause.service,
            retry_after_seconds=cause.retry_after_seconds,
        )
        self.cause = cause
        self.report = report


class Tally:
    """Counts rows and acknowledged chunks while an ingest runs, and tells who listens."""

    def __init__(
        self,
        on_document: Callable[[Row], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._counts: Counter[str] = Counter()
        self._problems: list[Row] = []
        self._left_out = 0
        self._on_document = on_document
        self._on_progress = on_progress
        self._started = time.perf_counter()

    def wrote(self, chunks: int, tokens: int) -> None:
        """Count chunks that the store has acknowledged."""
        self._counts["chunks"] += chunks
        self._counts["tokens"] += tokens
        self.tell()

    def add(self, row: Row) -> None:
        """Count a document that is finished."""
        self._counts[row.outcome] += 1
        if row.outcome in {Outcome.FAILED, Outcome.EMPTY, Outcome.SKIPPED}:
            if len(self._problems) < MAX_PROBLEMS:
                self._problems.append(row)
            else:
                self._left_out += 1
        if self._on_document is not None:
            self._on_document(row)

    def tell(self) -> None:
        """Report progress to the listener."""
        if self._on_progress is not None:
            self._on_progress(Progress(self.totals(), self.seconds()))

    def totals(self) -> Totals:
        return Totals(**self._counts)

    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def report(self, collection: str, not_ingested: tuple[str, ...] | None = None) -> IngestReport:
        """Return the report; `not_ingested` is given when the ingest was stopped."""
        return IngestReport(
            collection=collection,
            totals=self.totals(),
            seconds=self.seconds(),
            problems=tuple(self._problems),
            problems_left_out=self._left_out,
            not_ingested=not_ingested or (),
            complete=not_ingested is None,
        )
