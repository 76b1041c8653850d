"""The loop of the store's process, over an engine that only counts."""

import io
import time

from gateway.vectorstores.edge_wire import frame
from gateway.vectorstores.edge_worker import Orders, Worker


class CountingEngine:
    """Takes writes and counts flushes; it says its specs once all requests wait."""

    def __init__(self, requests: io.BytesIO) -> None:
        self.dirty = False
        self.written: list[int] = []
        self.flushes = 0
        self._requests = requests

    def specs(self) -> list[object]:
        deadline = time.monotonic() + 60
        while self._requests.tell() < len(self._requests.getbuffer()):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return []

    def upsert(self, number: int) -> None:
        self.written.append(number)
        self.dirty = True

    def flush(self) -> None:
        self.flushes += 1
        self.dirty = False

    def unindexed(self) -> None:
        return None

    def close(self) -> None:
        pass


def served(count: int, *, sync_writes: bool) -> CountingEngine:
    """Serve so many writes that all wait when the loop first looks."""
    waiting = io.BytesIO(b"".join(frame((n, "upsert", {"number": n})) for n in range(count)))
    engine = CountingEngine(waiting)
    orders = Orders("", 0, flush_seconds=60, sync_writes=sync_writes, idle_seconds=60, index_from=1)
    Worker(engine, orders, io.BytesIO()).run(waiting)  # pyright: ignore[reportArgumentType]
    assert engine.written == list(range(count))
    return engine


def test_synchronous_writes_that_wait_together_share_a_flush() -> None:
    assert served(60, sync_writes=True).flushes <= 2  # the last may still be on its way


def test_other_writes_are_acknowledged_without_one() -> None:
    assert served(60, sync_writes=False).flushes == 0
