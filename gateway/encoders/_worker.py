"""One thread for one model: the event loop never computes, and calls take turns."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from gateway.errors import UpstreamUnavailable

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Runs functions one after another in a thread of its own, first come first served.

    Callers cut long work into pieces, so that several calls in flight take turns and a cancelled
    one stops at its next piece.
    """

    def __init__(self, name: str) -> None:
        self._name: Final = name
        self._closed = False
        self._executor: Final = ThreadPoolExecutor(1, thread_name_prefix=f"gateway-{name}")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns.

        Raises:
            UpstreamUnavailable: the worker is closed.
        """
        if self._closed:
            raise UpstreamUnavailable(f"encoder {self._name!r} is closed", service=self._name)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: work(*args, **kwargs))

    @property
    def closed(self) -> bool:
        return self._closed

    async def aclose(self) -> None:
        """Drop what waits, let the piece in hand finish, end the thread. Twice is no error."""
        self._closed = True
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
