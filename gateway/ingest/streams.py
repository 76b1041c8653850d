"""Files of many documents, read piece by piece: JSONL and CSV. Memory is one piece and one line."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, Protocol

from gateway.errors import InvalidDocument
from gateway.ingest.items import ReadFailure, ReadItem
from gateway.ingest.lines import BOM, LineSplitter, parse_line
from gateway.ingest.records import parse_record

PIECE_BYTES: Final = 1 << 18


class Readable(Protocol):
    """The part of a binary file that is used here."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int, /) -> bytes: ...


def read_jsonl(file: Readable, source: str, max_line_bytes: int) -> Iterator[ReadItem]:
    """One document a line, as BEIR writes them; unknown keys become metadata."""
    splitter = LineSplitter(source=source, max_line_bytes=max_line_bytes)
    while data := file.read(PIECE_BYTES):
        for line in splitter.feed(data):
            yield parse_line(line, source=source)
    for line in splitter.close():
        yield parse_line(line, source=source)


def read_csv(file: Readable, source: str, max_line_bytes: int) -> Iterator[ReadItem]:
    """One document a row under a header with `id` or `_id` and `text`; other columns: metadata.

    Bytes that are not UTF-8 and lines over `max_line_bytes` cost their row alone.
    """
    csv.field_size_limit(max(csv.field_size_limit(), max_line_bytes))
    lines = _Lines(file, max_line_bytes)
    rows = csv.reader(lines, strict=True)
    header = _next_row(rows, source, lines)
    if isinstance(header, ReadFailure):
        yield header
        return
    if header is None:
        return
    if not {"id", "_id"}.intersection(header) or "text" not in header:
        yield ReadFailure(source, "the header has no 'id' (or '_id') or no 'text' column", 1)
        return
    while (row := _next_row(rows, source, lines)) is not None:
        if isinstance(row, ReadFailure):
            yield row
        elif row:
            yield _document(header, row, source, lines.first)


def _next_row(
    rows: Iterator[list[str]], source: str, lines: "_Lines"
) -> list[str] | ReadFailure | None:
    lines.first = lines.number + 1
    try:
        row = next(rows, None)
    except (csv.Error, InvalidDocument) as exc:
        return ReadFailure(source, f"not CSV: {exc}", lines.first)
    try:
        "".join(row or ()).encode()
    except UnicodeEncodeError:
        return ReadFailure(source, "not UTF-8; convert the file", lines.first)
    return row


def _document(header: list[str], row: list[str], source: str, line: int) -> ReadItem:
    if len(row) != len(header):
        reason = f"the row has {len(row)} fields and the header {len(header)}; check the quotes"
        return ReadFailure(source, reason, line)
    try:
        document = parse_record(dict(zip(header, row, strict=True)), line, source=source)
    except InvalidDocument as exc:
        return ReadFailure(source, str(exc), line)
    return replace(document, line=line)


class _Lines:
    """Text lines of a file; what is not UTF-8 stays as lone surrogates, so that rows stay apart.

    `number` counts the lines read, `first` is where the present row begins.
    """

    def __init__(self, file: Readable, limit: int) -> None:
        self._file = file
        self._limit = limit
        self.number = 0
        self.first = 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        data = self._file.readline(self._limit)
        if not data:
            raise StopIteration
        self.number += 1
        if len(data) == self._limit and not data.endswith(b"\n"):
            while (rest := self._file.readline(PIECE_BYTES)) and not rest.endswith(b"\n"):
                pass
            raise InvalidDocument(f"the line is over {self._limit} bytes")
        if self.number == 1:
            data = data.removeprefix(BOM)
        return data.decode("utf-8", "surrogateescape")


STREAMS: Final[Mapping[str, Callable[[Readable, str, int], Iterator[ReadItem]]]] = {
    "jsonl": read_jsonl,
    "csv": read_csv,
}
"""Readers of (file, source, longest line) by the name of the format."""
