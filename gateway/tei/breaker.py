"""Whether a replica is asked: closed (yes), open (not before a pause is over), half open (on trial)."""

import random
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

FAILURES: Final = 3
"""Failures in a row that open a closed breaker."""
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 10.0


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Counts failures; pauses double from trial to trial and are jittered, so that gateways part."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._until = 0.0
        self._state = State.CLOSED
        self.reason = ""

    @property
    def state(self) -> State:
        return self._state

    @property
    def pause_left(self) -> float:
        """Seconds until the next trial may begin."""
        return max(0.0, self._until - self._clock()) if self._state is State.OPEN else 0.0

    def succeed(self) -> None:
        """Close it: the replica answered."""
        self._failures = 0
        self._pause = FIRST_PAUSE_SECONDS
        self._state = State.CLOSED
        self.reason = ""

    def fail(self, reason: str, *, at_once: bool = False) -> None:
        """Note a failure; `at_once` opens a closed breaker without waiting for more of them."""
        self._failures += 1
        if self._state is State.OPEN:
            return
        if self._state is State.HALF_OPEN:
            self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2)
        elif self._failures < FAILURES and not at_once:
            return
        self.reason = reason
        self._state = State.OPEN
        self._until = self._clock() + self._pause * random.uniform(0.5, 1.0)  # noqa: S311  no secret

    def try_out(self) -> None:
        """Begin a trial: one request decides."""
        self._state = State.HALF_OPEN
