"""The one place where a call to TEI is repeated. Embedding is pure, so repeating it is safe."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    stop_before_delay,
    wait_random_exponential,
)

from gateway.errors import GatewayError, UpstreamError, UpstreamOverloaded, UpstreamUnavailable
from gateway.events import Sink, UpstreamRetried
from gateway.tei.refusals import SERVICE, BackendFailed

T = TypeVar("T")

BACKEND_ATTEMPTS: Final = 2
_jitter: Final = wait_random_exponential(multiplier=0.1, max=5.0)


async def patiently(
    attempt: Callable[[], Awaitable[T]],
    operation: str,
    *,
    full_seconds: float,
    away_seconds: float,
    sink: Sink,
) -> T:
    """Repeat `attempt` with growing, jittered pauses while that may help, then raise its error.

    A full server (429) is asked again for `full_seconds`, one that is away (503, a broken
    connection) for `away_seconds`, a failed inference (424) once; nothing else is repeated.
    """

    def may_retry(state: RetryCallState) -> bool:
        error = _error(state)
        if isinstance(error, BackendFailed):
            return state.attempt_number < BACKEND_ATTEMPTS
        return isinstance(error, UpstreamOverloaded | UpstreamUnavailable)

    def stop(state: RetryCallState) -> bool:
        away = isinstance(_error(state), UpstreamUnavailable)
        return stop_before_delay(away_seconds if away else full_seconds)(state)

    def tell(state: RetryCallState) -> None:
        error = _error(state)
        slug = error.slug if isinstance(error, GatewayError) else "unknown"
        sink(UpstreamRetried(SERVICE, operation, slug, state.attempt_number))

    retrying = AsyncRetrying(
        retry=may_retry, wait=_wait, stop=stop, before_sleep=tell, reraise=True
    )
    return await retrying(attempt)


def _wait(state: RetryCallState) -> float:
    """Jitter; longer where the server, or a proxy before it, asked for more than our own advice."""
    error = _error(state)
    asked = error.retry_after_seconds if isinstance(error, UpstreamError) else None
    pause = _jitter(state)
    return max(pause, asked) if asked is not None and asked > 1.0 else pause


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
