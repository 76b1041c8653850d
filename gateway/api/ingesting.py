"""Documents from request bodies, and reports of what became of them."""

import json
from typing import Any, Final, cast

import msgspec

from gateway.api.bodies import malformed
from gateway.domain.documents import Document
from gateway.errors import InvalidDocument, InvalidRequest, NothingIngested
from gateway.ingest.records import half_of_pair, parse_record
from gateway.ingest.report import IngestReport, Outcome, Row
from gateway.schemas.documents import IngestedDocument, IngestFailure, IngestResponse

SOURCE: Final = "api"
ROWS: Final = 1_000
"""Most documents that a report lists one by one."""


class Rows:
    """The first rows of an ingest (an `on_document` callback)."""

    def __init__(self) -> None:
        self.kept: list[IngestedDocument] = []
        self.omitted = 0

    def __call__(self, row: Row) -> None:
        if row.document_id is None or row.outcome is Outcome.SKIPPED:
            return
        if len(self.kept) >= ROWS:
            self.omitted += 1
            return
        self.kept.append(
            IngestedDocument(
                id=row.document_id, outcome=row.outcome.value, chunks=row.chunks, tokens=row.tokens
            )
        )


def documents_of(body: bytes) -> list[Document]:
    """Read a JSON body: a list of documents, or `{"documents": [...]}`.

    Raises:
        MalformedJSON, InvalidRequest: another shape.
        InvalidDocument: one cannot be read; `index` and `field` say which and where. Nothing of the
            body is stored then.
    """
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        if half_of_pair(body, str(exc)):
            _blame(body)
        raise malformed(body, str(exc)) from exc
    return _documents(value)


def nothing_ingested(report: IngestReport) -> NothingIngested | None:
    """Return what to answer when every document failed; None when one did not, or none was sent."""
    failed = report.totals.failed
    if not failed or failed < report.totals.documents:
        return None
    what = "the document" if failed == 1 else f"all {failed} documents"
    return NothingIngested(
        f"{what} failed, the first by: {report.problems[0].reason}; mend what 'report' names and "
        "send it again"
    )


def report_of(report: IngestReport, rows: Rows) -> IngestResponse:
    """Shape a report for the wire."""
    totals = report.totals
    return IngestResponse(
        added=totals.added,
        updated=totals.updated,
        unchanged=totals.unchanged,
        empty=totals.empty,
        failed=totals.failed,
        chunks=totals.chunks,
        tokens=totals.tokens,
        truncated_tokens=totals.truncated_tokens,
        seconds=round(report.seconds, 6),
        documents=rows.kept,
        documents_omitted=rows.omitted,
        failures=[
            IngestFailure(id=row.document_id, line=row.line, reason=row.reason)
            for row in report.problems
        ],
        failures_omitted=report.problems_left_out,
        not_ingested=list(report.not_ingested),
    )


def _blame(body: bytes) -> None:
    """Refuse the document that holds half of a surrogate pair by its name, where it can be found.

    The standard library reads such halves, so that the document they stand in can be told.
    """
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return
    _documents(value)


def _documents(value: object) -> list[Document]:
    records, place = _records(value)
    return [_document(record, index, place) for index, record in enumerate(records)]


def _records(value: object) -> tuple[list[object], str]:
    place = ""
    if isinstance(value, dict):
        body = cast("dict[str, Any]", value)
        if set(body) != {"documents"}:
            raise InvalidRequest(
                "the body wants one key, 'documents', with a list of documents", field="documents"
            )
        value, place = body["documents"], "documents"
    if not isinstance(value, list) or not value:
        raise InvalidRequest(
            'the body wants a list of at least one document, or {"documents": [...]}',
            field=place or None,
        )
    return cast("list[object]", value), place


def _document(record: object, index: int, place: str) -> Document:
    try:
        return parse_record(record, index, source=SOURCE, unknown="refuse")
    except InvalidDocument as exc:
        inner = f".{exc.field}" if exc.field else ""
        exc.field = f"{place}[{index}]{inner}"
        raise
