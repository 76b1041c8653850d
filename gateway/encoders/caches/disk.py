"""A cache in one SQLite file: survives a restart, may be shared by the processes of one machine.

SQLite is used as it comes with Python: values are plain bytes, nothing is unpickled, and a file that
is not a sound database is replaced by an empty one.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, ParamSpec, Self, TypeVar

from gateway.encoders._worker import Worker
from gateway.encoders.caches.port import Stored
from gateway.errors import ConfigurationError, UpstreamUnavailable

P = ParamSpec("P")
T = TypeVar("T")

FILE_NAME: Final = "vectors.sqlite"
SCHEMA_VERSION: Final = 1
BUSY_SECONDS: Final = 1.0
"""How long a writer waits for the writer of another process."""
USE_SECONDS: Final = 3_600
"""Uses are written down by the hour, so that a hit is seldom a write."""
USES_KEPT: Final = 10_000
"""Uses that wait for the next write, before which nobody asks about them."""
_KEYS_AT_ONCE: Final = 500
_SCHEMA: Final = f"""
    PRAGMA page_size = 16384;
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS entries (
        key BLOB PRIMARY KEY, value BLOB NOT NULL, used INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS by_use ON entries (used);
    PRAGMA user_version = {SCHEMA_VERSION};
"""


class DiskCache:
    """Implements `Cache`; made by `open`. Reads and writes have a thread and a connection each."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.kind: Final = "disk"
        self._path: Final = folder / FILE_NAME
        self._max_bytes: Final = max_bytes
        self._reader: Final = Worker("cache-read")
        self._writer: Final = Worker("cache-write")
        self._reading: sqlite3.Connection | None = None
        self._writing: sqlite3.Connection | None = None
        self._replaced = False
        self._used: set[bytes] = set()

    @classmethod
    async def open(cls, folder: Path, *, max_bytes: int) -> Self:
        """Open or make the cache in `folder`, which only its owner may read.

        Raises:
            ConfigurationError: the folder cannot be used.
        """
        cache = cls(folder, max_bytes=max_bytes)
        try:
            await cache._writer.run(cache._prepare)
        except (OSError, sqlite3.Error) as exc:
            await cache.aclose()
            raise ConfigurationError(
                f"the cache cannot be kept in {str(folder)!r}: {exc}; set cache.path"
            ) from exc
        return cache

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found, stale = await self._run(self._reader, self._read, keys)
        if len(self._used) < USES_KEPT:
            self._used.update(stale)
        return [found.get(key) for key in keys]

    async def put_many(self, entries: Mapping[bytes, bytes]) -> Stored:
        used, self._used = self._used, set()
        return await self._run(self._writer, self._write, entries, used)

    async def aclose(self) -> None:
        await asyncio.gather(self._reader.aclose(), self._writer.aclose())
        for connection in (self._reading, self._writing):
            if connection is not None:
                connection.close()
        self._reading = self._writing = None

    async def _run(self, worker: Worker, work: Callable[P, T], *args: P.args, **kw: P.kwargs) -> T:
        try:
            return await worker.run(work, *args, **kw)
        except (OSError, sqlite3.Error) as exc:
            if _is_malformed(exc):
                await self._run(self._writer, self._replace)
            raise UpstreamUnavailable(f"the cache on disk failed: {exc}", service="cache") from exc

    def _prepare(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._writing = _writing(self._path)
        except sqlite3.Error as exc:
            if not _is_malformed(exc):  # locked, read-only, no room: not the file's content
                raise
            self._replace()

    def _replace(self) -> None:
        """Begin anew; a process that has the old file open goes on with that."""
        if self._writing is not None:
            self._writing.close()
            self._writing = None
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
        self._writing = _writing(self._path)
        self._replaced = True

    def _read(self, keys: Sequence[bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
        """Return the values found, and the keys whose use is to be written down."""
        if self._reading is not None and self._replaced:
            self._reading.close()
            self._reading = None
        if self._reading is None:
            self._replaced = False
            self._reading = _connection(self._path)
        found: dict[bytes, bytes] = {}
        stale: list[bytes] = []
        fresh = int(time.time()) - USE_SECONDS
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = keys[start : start + _KEYS_AT_ONCE]
            marks = ",".join("?" * len(some))
            query = f"SELECT key, value, used FROM entries WHERE key IN ({marks})"  # noqa: S608
            for key, value, used in self._reading.execute(query, some):
                found[key] = value
                if used < fresh:
                    stale.append(key)
        return found, stale

    def _write(self, entries: Mapping[bytes, bytes], used: set[bytes]) -> Stored:
        if self._writing is None:
            self._writing = _writing(self._path)
        now = int(time.time())
        with self._writing as writing:
            writing.executemany(
                "UPDATE entries SET used = ? WHERE key = ?", ((now, k) for k in used)
            )
            writing.executemany(
                "INSERT OR REPLACE INTO entries (key, value, used) VALUES (?, ?, ?)",
                ((key, value, now) for key, value in entries.items()),
            )
            evicted = self._evict(writing)
        return Stored(evicted, _held(writing))

    def _evict(self, writing: sqlite3.Connection) -> int:
        """Drop the least recently used until a tenth of the room is free; return how many."""
        held = _held(writing)
        if held <= self._max_bytes:
            return 0
        count = writing.execute("SELECT count(*) FROM entries").fetchone()[0]
        share = 1 - 0.9 * self._max_bytes / held
        return writing.execute(
            "DELETE FROM entries WHERE rowid IN (SELECT rowid FROM entries ORDER BY used, rowid LIMIT ?)",
            (max(1, round(count * share)),),
        ).rowcount


def _writing(path: Path) -> sqlite3.Connection:
    connection = _connection(path)
    try:
        _require_version(connection)
        connection.executescript(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_version(connection: sqlite3.Connection) -> None:
    """Refuse a file of another version as one that is malformed; 0 is that of a new file."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in (0, SCHEMA_VERSION):
        raise sqlite3.DatabaseError(f"of another version, {version}")


def _connection(path: Path) -> sqlite3.Connection:
    """Connect; each connection is used by one thread, but closed by another one."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _is_malformed(error: Exception) -> bool:
    """Tell a file that is no sound database from one that cannot be used just now."""
    return type(error) is sqlite3.DatabaseError


def _held(connection: sqlite3.Connection) -> int:
    """Bytes of the pages in use."""
    ask = connection.execute
    pages = ask("PRAGMA page_count").fetchone()[0] - ask("PRAGMA freelist_count").fetchone()[0]
    return pages * ask("PRAGMA page_size").fetchone()[0]
