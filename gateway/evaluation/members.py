"""The files of a golden set, wherever they are: a folder, a zip archive, plain or gzipped."""

import gzip
import hashlib
import lzma
import struct
import zipfile
import zlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

from gateway.errors import InvalidGoldenSet

CORPUS: Final = "corpus.jsonl"
QUERIES: Final = "queries.jsonl"
SPANS: Final = "spans.jsonl"
QRELS: Final = "qrels/"
GZIPPED: Final = ".gz"
_ZIP: Final = b"PK\x03\x04"
"""What a zip archive begins with."""
_BROKEN: Final = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    NotImplementedError,
)
_UNREADABLE: Final = (*_BROKEN, RuntimeError, ValueError, KeyError, struct.error)
"""What zipfile raises of an archive or a file in it: encrypted, damaged, names or places that lie."""


class Digest:
    """Counts the bytes of files into one hash: equal contents, equal digest, however packed."""

    def __init__(self) -> None:
        self._sums: dict[str, str] = {}

    def add(self, name: str, digest: str) -> None:
        self._sums[name] = digest

    def hex(self) -> str:
        """SHA-256 over the names and the SHA-256 of the contents, in order of names."""
        lines = "".join(f"{self._sums[name]}  {name}\n" for name in sorted(self._sums))
        return hashlib.sha256(lines.encode()).hexdigest()


class Hashed:
    """A binary file that hashes what is read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        return self._taken(self._file.read(size))

    def readline(self, size: int, /) -> bytes:
        return self._taken(self._file.readline(size))

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _taken(self, data: bytes) -> bytes:
        self._hash.update(data)
        return data


class Members:
    """The files of one golden set, by their names in the BEIR layout."""

    def __init__(self, where: Path) -> None:
        """List the files of a folder or of a zip archive, which may hold them in one folder.

        Raises:
            InvalidGoldenSet: there is none.
        """
        self.where: Final = where
        if where.is_dir():
            self._zip = False
            paths = [p for p in where.rglob("*") if p.is_file()]
            self._names = {p.relative_to(where).as_posix(): str(p) for p in paths}
        elif zipfile.is_zipfile(where):
            self._zip = True
            self._names = _without_folder(_packed_names(where))
        else:
            what = _no_set(where)
            raise InvalidGoldenSet(
                f"golden set {str(where)!r} {what}; give a folder or .zip with {CORPUS}, {QUERIES} "
                f"and {QRELS}test.tsv"
            )

    def has(self, name: str) -> bool:
        return self._packed(name) is not None

    def splits(self) -> list[str]:
        """Names of the qrels: `test` for qrels/test.tsv or qrels/test.tsv.gz."""
        plain = (name.removesuffix(GZIPPED) for name in self._names if name.startswith(QRELS))
        found = {name for name in plain if name.endswith(".tsv") and name.count("/") == 1}
        return sorted(name.removeprefix(QRELS).removesuffix(".tsv") for name in found)

    def shown(self, name: str) -> str:
        """Return how messages call a file."""
        return f"{self.where.name}/{self._packed(name) or name}"

    @contextmanager
    def open(self, name: str) -> Generator[IO[bytes], None, None]:
        """Open a file, unpacked.

        Raises:
            InvalidGoldenSet: it is missing, or cannot be read to its end.
        """
        packed = self._packed(name)
        if packed is None:
            raise InvalidGoldenSet(
                f"golden set {str(self.where)!r} has no {name} (nor {name}{GZIPPED})"
            )
        try:
            with self._raw(packed) as raw:
                if not packed.endswith(GZIPPED):
                    yield raw
                    return
                with gzip.open(raw) as unpacked:
                    yield cast("IO[bytes]", unpacked)
        except _BROKEN as exc:
            raise InvalidGoldenSet(f"{self.shown(name)} cannot be read: {exc}") from exc

    @contextmanager
    def _raw(self, packed: str) -> Generator[IO[bytes], None, None]:
        if not self._zip:
            with Path(self._names[packed]).open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(self.where) as archive, _member(archive, self._names[packed]) as file:
            yield file

    def _packed(self, name: str) -> str | None:
        return next((n for n in (name, name + GZIPPED) if n in self._names), None)


def _no_set(where: Path) -> str:
    """Say what a path is that is neither a folder nor an archive with a directory at its end."""
    try:
        with where.open("rb") as file:
            begins = file.read(len(_ZIP))
    except FileNotFoundError:
        return "does not exist"
    except OSError as exc:
        return f"cannot be read ({exc})"
    if begins == _ZIP:
        return "is a damaged zip archive: its end is missing"
    return "is neither a folder nor a zip archive"


def _packed_names(where: Path) -> list[str]:
    try:
        with zipfile.ZipFile(where) as archive:
            return archive.namelist()
    except _UNREADABLE as exc:
        raise InvalidGoldenSet(
            f"golden set {str(where)!r} is a damaged zip archive: {exc}; pack it again"
        ) from exc


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a file of an archive; whatever zipfile raises becomes BadZipFile."""
    try:
        return archive.open(name)
    except _UNREADABLE as exc:
        raise zipfile.BadZipFile(str(exc)) from exc


def _without_folder(names: Sequence[str]) -> dict[str, str]:
    """Map the names below the folder that holds the queries to the names in the archive."""
    anchors = [n for n in names if n.rpartition("/")[2].removesuffix(GZIPPED) == QUERIES]
    prefix = min((n.rpartition("/")[0] for n in anchors), key=len, default="")
    prefix = f"{prefix}/" if prefix else ""
    return {n.removeprefix(prefix): n for n in names if n.startswith(prefix) and n != prefix}
