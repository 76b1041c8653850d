"""Newline-delimited JSON, piece by piece: one broken line costs that line and nothing else."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from gateway.errors import InvalidDocument
from gateway.ingest.items import ReadFailure, ReadItem
from gateway.ingest.records import Unknown, half_of_pair, parse_record

MAX_LINE_BYTES: Final = 16 * 2**20
"""Longest line read by default: a text of 16 MiB is a book shelf, and memory stays bounded."""

BOM: Final = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder().decode
"""Strict UTF-8, and whole numbers of any length stay exact."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank, without its line break; `number` counts from 1."""

    number: int
    data: bytes


class LineSplitter:
    """Turns pieces of bytes, cut anywhere, into lines. Holds one unfinished line at most."""

    def __init__(self, *, source: str = "", max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._source = source
        self._max = max_line_bytes
        self._number = 0
        self._size = 0
        self._kept = bytearray()

    def feed(self, data: bytes) -> list[Line | ReadFailure]:
        """Return the lines that `data` completes; a line that is too long is one failure."""
        *whole, rest = data.split(b"\n")
        found: list[Line | ReadFailure] = []
        for piece in whole:
            self._keep(piece)
            found.extend(self._end())
        self._keep(rest)
        return found

    def close(self) -> list[Line | ReadFailure]:
        """Return the last line when it has no line break."""
        return list(self._end()) if self._size else []

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._max:
            self._kept += piece
        else:
            self._kept.clear()

    def _end(self) -> Iterator[Line | ReadFailure]:
        data, size = bytes(self._kept), self._size
        self._kept.clear()
        self._size = 0
        self._number += 1
        if size > self._max:
            reason = f"the line has {size} bytes, at most {self._max}; split the document"
            yield ReadFailure(self._source, reason, self._number)
            return
        if self._number == 1:
            data = data.removeprefix(BOM)
        data = data.removesuffix(b"\r")
        if data and not data.isspace():
            yield Line(self._number, data)


def parse_line(line: Line | ReadFailure, *, source: str, unknown: Unknown = "metadata") -> ReadItem:
    """Return the document of one line of JSON, or the failure that names it."""
    if isinstance(line, ReadFailure):
        return line
    try:
        document = parse_record(_decode(line.data), line.number, source=source, unknown=unknown)
    except InvalidDocument as exc:
        return ReadFailure(source, str(exc), line.number)
    except msgspec.MsgspecError as exc:
        why = half_of_pair(line.data, str(exc)) or str(exc)
        return ReadFailure(source, f"not JSON: {why}", line.number)
    except (UnicodeDecodeError, RecursionError) as exc:
        why = "not UTF-8" if isinstance(exc, UnicodeDecodeError) else "nested too deep"
        return ReadFailure(source, f"not JSON: {why}", line.number)
    return replace(document, line=line.number)


async def ndjson_items(
    pieces: AsyncIterable[bytes],
    *,
    source: str,
    max_line_bytes: int = MAX_LINE_BYTES,
    unknown: Unknown = "metadata",
) -> AsyncIterator[ReadItem]:
    """Documents of a streamed body: what came before a broken line or a cut is yielded already."""
    splitter = LineSplitter(source=source, max_line_bytes=max_line_bytes)
    async for piece in pieces:
        for line in splitter.feed(piece):
            yield parse_line(line, source=source, unknown=unknown)
    for line in splitter.close():
        yield parse_line(line, source=source, unknown=unknown)
