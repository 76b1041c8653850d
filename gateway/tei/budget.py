"""A semaphore counted in inputs: how many texts one server is working on for us."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class InputBudget:
    """First come, first served; a request larger than the whole budget waits until it is alone."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def load(self) -> int:
        """Inputs in flight and waiting."""
        return self._taken + sum(count for count, _ in self._waiting)

    def resize(self, capacity: int) -> None:
        """Change the capacity; what is in flight stays in flight."""
        self.capacity = capacity
        self._admit()

    @asynccontextmanager
    async def hold(self, count: int) -> AsyncGenerator[None]:
        """Hold `count` inputs' worth of the budget while inside."""
        if self._waiting or not self._fits(count):
            await self._wait(count)
        else:
            self._taken += count
        try:
            yield
        finally:
            self._taken -= count
            self._admit()

    async def _wait(self, count: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (count, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(entry)
            else:  # admitted in the very moment of being cancelled
                self._taken -= count
            self._admit()
            raise

    def _admit(self) -> None:
        for entry in tuple(self._waiting):
            count, turn = entry
            if turn.cancelled():  # its own task takes the entry away
                continue
            if not self._fits(count):
                return
            self._waiting.remove(entry)
            self._taken += count
            turn.set_result(None)

    def _fits(self, count: int) -> bool:
        return self._taken + count <= self.capacity or self._taken == 0
