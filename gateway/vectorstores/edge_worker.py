"""The process that owns the embedded engine: requests from standard input, replies to output.

It runs apart from the gateway because the engine holds the GIL for whole calls and hangs after a
fork. Requests are read by a thread and served by one loop, in order; the queue between them is
bounded. It ends when its input closes, so it cannot outlive the gateway.
"""

import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from gateway.vectorstores.edge_engine import Engine, NoCollection
from gateway.vectorstores.edge_files import Occupied, lock_root
from gateway.vectorstores.edge_wire import (
    FAILED,
    FULL,
    INDEXED,
    INDEXING,
    LOCKED,
    MISSING,
    NOTICE,
    OK,
    READY,
    frame,
    read_request,
)

WRITES: Final = frozenset({"upsert", "delete"})
OPERATIONS: Final = WRITES | {
    *("ensure", "drop", "inspect", "mend_indexes", "amend", "optimize"),
    *("get", "scroll", "count", "query", "ping"),
}
_QUEUE: Final = 64
_PANIC: Final = 70

Request = tuple[int, str, dict[str, Any]]


class Orders(msgspec.Struct, frozen=True):
    """How the gateway wants its worker: passed as JSON in the last argument."""

    root: str
    owner: int
    flush_seconds: float
    sync_writes: bool
    idle_seconds: float
    index_from: int


class Worker:
    """Serves one engine. `replies` is the pipe back to the gateway."""

    def __init__(self, engine: Engine, orders: Orders, replies: BinaryIO) -> None:
        self._engine = engine
        self._orders = orders
        self._replies = replies
        self._inbox: queue.Queue[Request | None] = queue.Queue(_QUEUE)
        self._flush_at = 0.0

    def run(self, requests: BinaryIO) -> None:
        """Serve until the pipe closes, then flush and close."""
        threading.Thread(target=self._read, args=(requests,), daemon=True).start()
        self._say((NOTICE, READY, self._engine.specs()))
        while (batch := self._take()) is not None:
            if batch:
                self._serve(batch)
            self._keep(idle=not batch)
        self._engine.close()

    def _read(self, requests: BinaryIO) -> None:
        while (request := read_request(requests)) is not None:
            self._inbox.put(request)
        self._inbox.put(None)

    def _take(self) -> list[Request] | None:
        """Return all that waits, at most a queue full; an empty list when a timer is due."""
        batch: list[Request] = []
        try:
            item = self._inbox.get(timeout=self._patience())
            while item is not None:
                batch.append(item)
                item = self._inbox.get_nowait()
        except queue.Empty:
            return batch
        if batch:
            self._inbox.put(None)
            return batch
        return None

    def _patience(self) -> float:
        if self._engine.dirty:
            return max(0.0, self._flush_at - time.monotonic())
        return self._orders.idle_seconds

    def _serve(self, batch: list[Request]) -> None:
        """Answer a batch; with `sync_writes` its writes share one flush before they are answered."""
        clean = not self._engine.dirty
        held: list[tuple[int, str, Any]] = []
        for request in batch:
            reply = self._answer(request)
            if self._orders.sync_writes and request[1] in WRITES:
                held.append(reply)
            else:
                self._say(reply)
        if held:
            failure = self._flush()
            for number, status, value in held:
                self._say((number, status, value) if failure is None else (number, *failure))
        if clean and self._engine.dirty:
            self._flush_at = time.monotonic() + self._orders.flush_seconds

    def _answer(self, request: Request) -> tuple[int, str, Any]:
        number, operation, arguments = request
        if operation not in OPERATIONS:
            return number, FAILED, f"no operation {operation!r}"
        try:
            return number, OK, getattr(self._engine, operation)(**arguments)
        except NoCollection as exc:
            return number, MISSING, str(exc)
        except Exception as exc:  # noqa: BLE001  the engine raises bare Exception
            return number, *_failure(exc)
        except BaseException as exc:  # noqa: BLE001  pyo3's PanicException is one
            # a panic inside the engine: its state is unknown, the log is not
            self._say((number, FAILED, f"the engine panicked: {exc}"))
            os._exit(_PANIC)

    def _keep(self, *, idle: bool) -> None:
        """Do what is due between requests; indexing blocks for long, so only in a quiet time."""
        if self._engine.dirty:
            if time.monotonic() >= self._flush_at:
                self._flush()
                self._flush_at = time.monotonic() + self._orders.flush_seconds
        elif idle and (name := self._engine.unindexed()) is not None:
            self._say((NOTICE, INDEXING, name))
            self._engine.index(name)
            self._say((NOTICE, INDEXED, name))

    def _flush(self) -> tuple[str, str] | None:
        """Flush; return the failure, if any. What is not flushed stays in the log and is retried."""
        try:
            self._engine.flush()
        except Exception as exc:  # noqa: BLE001  the engine raises bare Exception
            sys.stderr.write(f"embedded store: flush failed, will be retried: {exc}\n")
            return _failure(exc)
        return None

    def _say(self, reply: tuple[int, str, Any]) -> None:
        self._replies.write(frame(reply))
        self._replies.flush()


def _failure(exc: Exception) -> tuple[str, str]:
    text = str(exc)
    full = "No space left" in text or "not enough space" in text.lower()
    return (FULL if full else FAILED), text


def main() -> None:
    """Entry of the process: the last argument holds the orders."""
    # Ctrl-C and a service manager's stop reach the whole group; the gateway decides when we end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    orders = msgspec.json.decode(sys.argv[-1], type=Orders)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not print into the replies
    try:
        lock = lock_root(Path(orders.root), orders.owner)
    except Occupied as exc:
        replies.write(frame((NOTICE, LOCKED, exc.holder)))
        replies.flush()
        return
    with lock:
        try:
            engine = Engine(Path(orders.root), index_from=orders.index_from)
        except Exception as exc:  # noqa: BLE001  whatever it is, the gateway must hear of it
            replies.write(frame((NOTICE, *_failure(exc))))
            replies.flush()
            return
        try:
            Worker(engine, orders, replies).run(sys.stdin.buffer)
        except BrokenPipeError:
            engine.close()
