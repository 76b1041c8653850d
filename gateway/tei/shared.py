"""One run that many wait for."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from gateway.tei.refusals import SERVICE, unavailable

T = TypeVar("T")


class Shared(Generic[T]):
    """Work of which one run is under way at most: who asks for it meanwhile waits for that run."""

    def __init__(self, run: Callable[[], Coroutine[Any, Any, T]], service: str = SERVICE) -> None:
        self._run = run
        self._service = service
        self._task: asyncio.Task[T] | None = None

    @property
    def running(self) -> bool:
        return self._task is not None

    async def join(self) -> T:
        """Result or error of the run; one who is cancelled does not end it for the others.

        Raises:
            UpstreamUnavailable: `cancel` ended it.
        """
        task = self._task
        if task is None:
            task = self._task = asyncio.create_task(self._run())
            task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            own = asyncio.current_task()
            if not task.cancelled() or (own is not None and own.cancelling()):
                raise
            told = "closed while it was asked who it is: ask again"
            raise unavailable(told, self._service) from exc

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _done(self, task: asyncio.Task[T]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # told to those who wait; marked as seen if none is left
