"""Faults that a TEI stub plays on demand, one per request, in the order they were scripted."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal, TypeAlias

FaultKind: TypeAlias = Literal[
    "overloaded",  # 429
    "retry-after",  # 429 from a proxy that asks for a pause of a second
    "unhealthy",  # 503
    "backend",  # 424
    "tokenizer",  # 422
    "bad-gateway",  # 502 with an HTML body, as a proxy in front of a dead server answers
    "reset",  # the connection is reset before any answer
    "half-body",  # the connection ends in the middle of the answer
    "not-json",  # status 200 and a body that is not JSON
    "null",  # one vector is NaN: `null` in JSON, NaN bits in base64
    "zero",  # one vector is all zeros
    "short-rows",  # vectors of half the size
    "too-few",  # one vector is missing
    "same-index",  # every item says index 0
    "reversed",  # items in reverse order, each with its right index
    "slow",  # `seconds` pass before the work begins, permits held
]
EMBEDDING_PATHS = ("/embed", "/v1/embeddings", "/embeddings", "/")


@dataclass(frozen=True, slots=True)
class Fault:
    """Play `kind` on the next `times` requests (None: on all) to `path` (None: embedding routes)."""

    kind: FaultKind
    times: int | None = 1
    path: str | None = None
    seconds: float = 0.2

    def applies_to(self, path: str) -> bool:
        return path == self.path if self.path else path in EMBEDDING_PATHS


class FaultScript:
    """A queue of faults, filled by a test's thread and drained by the server's."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._queue = deque(faults)
        self._lock = Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._queue.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()

    def take(self, path: str) -> Fault | None:
        """Return the first fault that applies to a request, used up by one."""
        with self._lock:
            for place, fault in enumerate(self._queue):
                if fault.applies_to(path):
                    if fault.times is not None and fault.times <= 1:
                        del self._queue[place]
                    elif fault.times is not None:
                        self._queue[place] = replace(fault, times=fault.times - 1)
                    return fault
        return None
