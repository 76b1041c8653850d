"""Calls to a Qdrant server: translated, measured, and repeated where that can help.

qdrant-client repeats nothing by itself, its timeouts count per phase of a request, and all our
operations are idempotent; so repeats live here and nowhere else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import tenacity

from gateway.errors import (
    GatewayError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Sink, UpstreamCalled, UpstreamRetried
from gateway.vectorstores.qdrant_errors import FAULTS, SERVICE, Asked, translate

T = TypeVar("T")

ATTEMPTS: Final = 4
_PASSING: Final = (UpstreamOverloaded, UpstreamTimeout, UpstreamUnavailable)


@dataclass(frozen=True, slots=True)
class Caller:
    """Makes calls of one kind: each attempt may take `timeout_seconds`, all of them twice that.

    A `Retry-After` is waited out when it fits into what is left, and reported when it does not.
    `address` stands in messages: without user, password or key.
    """

    timeout_seconds: float
    sink: Sink
    attempts: int = ATTEMPTS
    address: str = ""

    async def __call__(
        self, operation: str, name: str | None, call: Callable[[], Awaitable[T]]
    ) -> T:
        """Run `call` until it returns or there is no use in another attempt.

        Raises:
            CollectionNotFound: the server has no collection `name`.
            UpstreamError: what the last attempt failed with.
        """

        def passing_on(state: tenacity.RetryCallState) -> None:
            error = _error(state)
            slug = error.slug if isinstance(error, GatewayError) else ""
            self.sink(UpstreamRetried(SERVICE, operation, slug, state.attempt_number))

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_PASSING),
            wait=_wait,
            stop=tenacity.stop_after_attempt(self.attempts)
            | tenacity.stop_before_delay(2 * self.timeout_seconds),
            before_sleep=passing_on,
            reraise=True,
        )
        return await retrying(self._attempt, operation, name, call)

    async def _attempt(
        self, operation: str, name: str | None, call: Callable[[], Awaitable[T]]
    ) -> T:
        started, outcome = time.perf_counter(), "ok"
        try:
            async with asyncio.timeout(self.timeout_seconds):
                return await call()
        except FAULTS as fault:
            error = translate(fault, Asked(operation, name, self.address))
            outcome = error.slug
            raise error from fault
        finally:
            seconds = time.perf_counter() - started
            self.sink(UpstreamCalled(SERVICE, operation, outcome, seconds))


_backoff: Final = tenacity.wait_random_exponential(multiplier=0.1, max=2)


def _wait(state: tenacity.RetryCallState) -> float:
    error = _error(state)
    asked = error.retry_after_seconds if isinstance(error, UpstreamOverloaded) else None
    return max(asked or 0.0, _backoff(state))


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
