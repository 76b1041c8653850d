"""A slow query asked of a second replica: the answer that comes first wins (Dean and Barroso, 2013)."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from gateway.events import Hedged, Sink
from gateway.tei.refusals import SERVICE

T = TypeVar("T")

REMEMBERED: Final = 200
FEWEST: Final = 20
"""Answers that must be known before anything is hedged."""
QUANTILE: Final = 0.95
SAVED: Final = 5.0


class Hedge:
    """Remembers how long the last answers took; at most one call in twenty is asked twice.

    Each call earns a twentieth of a second question, and no more than `SAVED` are saved up, so that
    servers which all become slow are not asked twice for everything.
    """

    def __init__(self, sink: Sink) -> None:
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._sink = sink
        self._earned = 1.0

    @property
    def patience(self) -> float | None:
        """Seconds after which an answer is late: the p95 of the last ones; None: not known yet."""
        if len(self._seconds) < FEWEST:
            return None
        return sorted(self._seconds)[int(QUANTILE * (len(self._seconds) - 1))]

    async def race(
        self, first: Coroutine[Any, Any, T], second: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        """Return the first answer; an error counts only when there is no other answer to come."""
        started = time.perf_counter()
        self._earned = min(SAVED, self._earned + 1.0 - QUANTILE)
        tasks = [asyncio.create_task(first)]
        try:
            patience = self.patience if self._earned >= 1.0 else None
            done, _ = await asyncio.wait(tasks, timeout=patience)
            if not done:
                self._earned -= 1.0
                tasks.append(asyncio.create_task(second()))
                await _one_succeeded(tasks)
                self._sink(Hedged(SERVICE, won=_succeeded(tasks[1])))
            winner = next((task for task in tasks if _succeeded(task)), tasks[0])
            answer = await winner
            self._seconds.append(time.perf_counter() - started)
            return answer
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _one_succeeded(tasks: list[asyncio.Task[T]]) -> None:
    """Wait for a success, or for all to fail."""
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if any(map(_succeeded, done)):
            return


def _succeeded(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
