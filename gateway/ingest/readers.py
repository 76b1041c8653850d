"""Files, folders and standard input as one stream of documents."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from gateway.errors import InvalidDocument, InvalidRequest
from gateway.ingest.items import ReadFailure, ReadItem
from gateway.ingest.lines import MAX_LINE_BYTES
from gateway.ingest.streams import STREAMS, Readable
from gateway.ingest.whole import WHOLE

STDIN: Final = "-"
FORMATS: Final = (*WHOLE, *STREAMS)
"""What can be read: text, markdown, html, jsonl, csv."""

EXTENSIONS: Final = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
}


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bytes that may be held at once: a line of JSONL or CSV, and a file that is one document."""

    line_bytes: int = MAX_LINE_BYTES
    file_bytes: int = 64 * 2**20


@dataclass(frozen=True, slots=True)
class _File:
    """A file to read: `id` is its path below the root it was found in, `named` by the caller."""

    path: Path
    id: str
    named: bool

    @property
    def source(self) -> str:
        return self.path.as_posix()


class _Counted:
    """A file that counts the bytes read from it."""

    def __init__(self, file: BinaryIO, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._count(len(data))
        return data

    def readline(self, size: int, /) -> bytes:
        data = self._file.readline(size)
        self._count(len(data))
        return data


class Source:
    """An iterable of read items over paths; "-" is standard input. Iterate it once.

    A document that is a whole file is named by its path below the folder given, or by its file name
    when the file itself was given; documents of JSONL and CSV carry their own ids. Folders are read
    recursively in sorted order, hidden files left out, unknown kinds reported as skipped.
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        format: str | None = None,
        stdin: BinaryIO | None = None,
        limits: ReadLimits | None = None,
    ) -> None:
        """Take paths, and a `format` for standard input and for files named one by one.

        Raises:
            InvalidRequest: no path, an unknown format, or standard input without a format.
            InvalidDocument: a path that does not exist.
        """
        if not paths:
            raise InvalidRequest("nothing to read; name files, folders or '-'", field="paths")
        if format is not None and format not in FORMATS:
            raise InvalidRequest(
                f"unknown format {format!r}; take one of {', '.join(FORMATS)}", field="format"
            )
        for path in paths:
            _require_readable(path, format)
        self._paths = [str(path) for path in paths]
        self._format = format
        self._stdin = stdin
        self._limits = limits or ReadLimits()
        self._ids: dict[str, str] = {}
        self.bytes_read = 0

    def total_bytes(self) -> int | None:
        """Size of all files to be read, for a progress bar; None when standard input is one."""
        if STDIN in self._paths:
            return None
        return sum(
            _size(file.path)
            for path in self._paths
            for file in _files(path)
            if self._format_of(file) is not None
        )

    def __iter__(self) -> Iterator[ReadItem]:
        for path in self._paths:
            if path == STDIN:
                yield from self._read_stdin()
            else:
                for file in _files(path):
                    yield from self._read(file)

    def _count(self, size: int) -> None:
        self.bytes_read += size

    def _format_of(self, file: _File) -> str | None:
        if file.named and self._format:
            return self._format
        return EXTENSIONS.get(file.path.suffix.lower())

    def _read_stdin(self) -> Iterator[ReadItem]:
        assert self._format is not None
        stream = self._stdin or sys.stdin.buffer
        yield from self._parse(
            nullcontext(stream), self._format, _File(Path("stdin"), "stdin", True)
        )

    def _read(self, file: _File) -> Iterator[ReadItem]:
        kind = self._format_of(file)
        if kind is None:
            reason = f"unknown kind {file.path.suffix!r}; read are {', '.join(EXTENSIONS)}"
            yield ReadFailure(file.source, reason, skipped=not file.named)
            return
        try:
            yield from self._parse(file.path.open("rb"), kind, file)
        except OSError as exc:
            yield ReadFailure(file.source, f"cannot be read: {exc.strerror or exc}")

    def _parse(
        self, opened: AbstractContextManager[BinaryIO], kind: str, file: _File
    ) -> Iterator[ReadItem]:
        with opened as raw:
            counted = _Counted(raw, self._count)
            if kind in STREAMS:
                yield from STREAMS[kind](counted, file.source, self._limits.line_bytes)
            else:
                yield self._whole(counted, kind, file)

    def _whole(self, raw: Readable, kind: str, file: _File) -> ReadItem:
        limit = self._limits.file_bytes
        other = self._ids.setdefault(file.id, file.source) if len(self._paths) > 1 else file.source
        if other != file.source:
            reason = f"its id {file.id!r} is that of {other}; give a folder that holds both"
            return ReadFailure(file.source, reason)
        data = raw.read(limit + 1)
        if len(data) > limit:
            reason = f"over {limit} bytes; split it, or write its parts as JSONL"
            return ReadFailure(file.source, reason)
        name = file.path.stem if file.path.name != "stdin" else None
        try:
            return WHOLE[kind](data, file.id, file.source, name)
        except InvalidDocument as exc:
            return ReadFailure(file.source, str(exc))


def _require_readable(path: str | Path, format_: str | None) -> None:
    if str(path) == STDIN:
        if format_ is None:
            raise InvalidRequest(
                f"standard input needs a format: one of {', '.join(FORMATS)}", field="format"
            )
    elif not Path(path).exists():
        raise InvalidDocument(f"{str(path)!r} does not exist", field="paths")


def _files(root: str) -> Iterator[_File]:
    """Files below a folder, sorted folder by folder, or the one file that was named."""
    top = Path(root)
    if not top.is_dir():
        yield _File(top, top.name, named=True)
        return
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                path = Path(folder, name)
                if path.is_file():  # not a pipe or socket, which would block
                    yield _File(path, path.relative_to(top).as_posix(), named=False)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
