"""The one place where a call to a server is repeated. Embedding is pure, so repeating it is safe."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from gateway.errors import (
    GatewayError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Sink, UpstreamRetried
from gateway.tei.refusals import SERVICE, BackendFailed, BrokenAnswer

T = TypeVar("T")

ONCE: Final = (BackendFailed, BrokenAnswer)
"""Repeated once: what another server, or a second try, may do better."""
WHILE_TIME: Final = (UpstreamOverloaded, UpstreamUnavailable, UpstreamTimeout)
_jitter: Final = wait_random_exponential(multiplier=0.025, max=5.0)
"""Full jitter. The first pause is of the order of a forward pass on a GPU."""


class Clock:
    """Time since the first attempt began; waiting for a turn before it does not count."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._started: float | None = None

    def start(self) -> None:
        if self._started is None:
            self._started = time.monotonic()

    @property
    def elapsed(self) -> float:
        return 0.0 if self._started is None else time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self._seconds - self.elapsed


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long what is repeated.

    A full or silent server (429, a time-out) is asked again for `full_seconds`, one that is away
    (503, a broken connection) for `away_seconds`, a failed inference (424) or a broken answer once;
    nothing else is repeated. After `full_attempts` a full server is given up. `clock` tells the time
    already spent; `may_pause` is false while another server was not asked yet: then the next attempt
    follows at once.
    """

    full_seconds: float
    away_seconds: float
    clock: Clock
    full_attempts: int | None = None
    may_pause: Callable[[], bool] = lambda: True

    def stops(self, state: RetryCallState) -> bool:
        error = _error(state)
        most = self.full_attempts
        if isinstance(error, UpstreamOverloaded) and most and state.attempt_number >= most:
            return True
        away = isinstance(error, UpstreamUnavailable) and not isinstance(error, BackendFailed)
        limit = self.away_seconds if away and self.may_pause() else self.full_seconds
        return self.clock.elapsed + state.upcoming_sleep >= limit

    def waits(self, state: RetryCallState) -> float:
        """Jitter; longer where the server, or a proxy before it, asked for more."""
        if not self.may_pause():
            return 0.0
        error, pause = _error(state), _jitter(state)
        if isinstance(error, UpstreamError) and error.asked_to_wait:
            return max(pause, error.retry_after_seconds or 0.0)
        return pause


async def patiently(
    attempt: Callable[[], Awaitable[T]],
    operation: str,
    patience: Patience,
    sink: Sink,
    *,
    service: str = SERVICE,
) -> T:
    """Repeat `attempt` with growing, jittered pauses while that may help, then raise its error.

    `service` names the server in events.
    """
    failed: GatewayError | None = None
    try:
        return await attempt()
    except GatewayError as exc:
        failed = exc
    patience.clock.start()  # it may have failed before it had a turn

    async def again() -> T:
        """Hand the first failure on, then attempt: calls that succeed at once cost no machinery."""
        nonlocal failed
        if failed is None:
            return await attempt()
        error, failed = failed, None
        raise error

    once = dict.fromkeys(ONCE, 1)

    def repeats(state: RetryCallState) -> bool:
        error = _error(state)
        for kind in ONCE:
            if isinstance(error, kind):
                once[kind] -= 1
                return once[kind] >= 0
        return isinstance(error, WHILE_TIME)

    def tell(state: RetryCallState) -> None:
        error = _error(state)
        slug = error.slug if isinstance(error, GatewayError) else "unknown"
        sink(UpstreamRetried(service, operation, slug, state.attempt_number))

    retrying = AsyncRetrying(
        retry=repeats,
        wait=patience.waits,
        stop=patience.stops,
        before_sleep=tell,
        reraise=True,
    )
    return await retrying(again)


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
