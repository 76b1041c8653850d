"""How much one server is working on for us, counted in inputs: two lanes, a size that adapts.

The size starts at what the server allows, falls when it answers 429 and grows back with every
window's worth of answers (additive increase, multiplicative decrease: Chiu and Jain, 1989). TEI
takes one permit per input and works first come, first served, so what keeps a query quick is that
little of an ingest waits inside the server: about two forward passes, however much is waiting here.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway.ports import Lane

DECREASE: Final = 0.8
GROWTH: Final = 64
"""Inputs by which the size grows back for every window of inputs answered."""
RESERVE: Final = 16
"""One part in so many is kept free of the ingest."""
STREAK: Final = 8
"""Admissions of queries in a row after which a waiting ingest has its turn."""
PASSES: Final = 2
"""Forward passes of an ingest inside the server: one that runs and one that is ready."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Most inputs in all; tokens and inputs of one forward pass, None where it has no bound."""

    inputs: int
    pass_tokens: int | None = None
    pass_inputs: int | None = None


@dataclass(slots=True)
class Load:
    """What a request holds of the window, or waits to hold."""

    inputs: int
    tokens: int
    lane: Lane
    epoch: int = 0


_Queue: TypeAlias = deque[tuple[Load, asyncio.Future[None]]]


class Window:
    """A semaphore counted in inputs. Within a lane: first come, first served.

    A request larger than the whole window waits until it is alone.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._size = float(bounds.inputs)
        self._epoch = 0
        self._taken = 0
        self._ingest_inputs = 0
        self._ingest_tokens = 0
        self._waiting_inputs = 0
        self._streak = 0
        self._queues: dict[Lane, _Queue] = {lane: deque() for lane in Lane}

    @property
    def size(self) -> int:
        """Inputs that may be in flight now."""
        return int(self._size)

    @property
    def load(self) -> int:
        """Inputs in flight and waiting."""
        return self._taken + self._waiting_inputs

    @property
    def ingest_size(self) -> int:
        """Inputs of the ingest that may be in flight now."""
        return self._share(self.size)

    @property
    def largest(self) -> int:
        """Inputs of the ingest that may be in flight when the window is at its full size."""
        return self._share(self._bounds.inputs)

    def resize(self, bounds: Bounds) -> None:
        """Begin anew if the bounds are others; what is in flight stays in flight."""
        if bounds == self._bounds:
            return
        self._bounds = bounds
        self._size = float(bounds.inputs)
        self._epoch += 1
        self._admit()

    def shrink(self, load: Load) -> bool:
        """The server was full. Only the first of the requests that met the same crowd counts."""
        if load.epoch != self._epoch:
            return False
        self._epoch += 1
        self._size = max(1.0, self._size * DECREASE)
        return True

    def grow(self, load: Load) -> bool:
        """A request was answered; tells whether the window has come back to its full size."""
        most = self._bounds.inputs
        if self._size >= most:
            return False
        self._size = min(float(most), self._size + GROWTH * load.inputs / self._size)
        return self._size >= most

    async def take(self, inputs: int, tokens: int, lane: Lane) -> Load:
        """Take a part of the window, waiting for a turn; `give_back` must follow."""
        load = Load(inputs, tokens, lane)
        if self._queues[Lane.QUERY] or self._queues[Lane.INGEST] or not self._fits(load):
            await self._wait(load)
        else:
            self._admitted(load)
        return load

    def give_back(self, load: Load) -> None:
        """Free what was taken, for those who wait."""
        self._taken -= load.inputs
        if load.lane is Lane.INGEST:
            self._ingest_inputs -= load.inputs
            self._ingest_tokens -= load.tokens
        self._admit()

    async def _wait(self, load: Load) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (load, turn)
        queue = self._queues[load.lane]
        queue.append(entry)
        self._waiting_inputs += load.inputs
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # admitted in the very moment of being cancelled
                self.give_back(load)
            elif entry in queue:
                self._leave(queue, entry)
                self._admit()
            raise

    def _leave(self, queue: _Queue, entry: tuple[Load, asyncio.Future[None]]) -> None:
        queue.remove(entry)
        self._waiting_inputs -= entry[0].inputs

    def _admit(self) -> None:
        if not self._waiting_inputs:
            return
        while (queue := self._next()) is not None:
            load, turn = entry = queue[0]
            self._leave(queue, entry)
            self._admitted(load)
            turn.set_result(None)

    def _next(self) -> _Queue | None:
        """The queue whose head may go now. An ingest whose turn it is holds queries back."""
        queries, ingest = (self._living(lane) for lane in (Lane.QUERY, Lane.INGEST))
        ready = bool(ingest) and self._fits_ingest(ingest[0][0])
        if queries and not (ready and self._streak >= STREAK):
            return queries if self._fits_all(queries[0][0]) else None
        return ingest if ready and self._fits_all(ingest[0][0]) else None

    def _living(self, lane: Lane) -> _Queue:
        """The queue of a lane, without the heads whose tasks were cancelled."""
        queue = self._queues[lane]
        while queue and queue[0][1].cancelled():
            self._leave(queue, queue[0])
        return queue

    def _admitted(self, load: Load) -> None:
        load.epoch = self._epoch
        self._taken += load.inputs
        if load.lane is Lane.INGEST:
            self._ingest_inputs += load.inputs
            self._ingest_tokens += load.tokens
            self._streak = 0
        else:
            self._streak += 1

    def _share(self, size: int) -> int:
        room = size - max(1, size // RESERVE)
        if self._bounds.pass_inputs is not None:
            room = min(room, PASSES * self._bounds.pass_inputs)
        return max(1, room)

    def _fits(self, load: Load) -> bool:
        return self._fits_all(load) and (load.lane is Lane.QUERY or self._fits_ingest(load))

    def _fits_all(self, load: Load) -> bool:
        return self._taken + load.inputs <= self.size or self._taken == 0

    def _fits_ingest(self, load: Load) -> bool:
        if self._ingest_inputs == 0:
            return True
        tokens = self._bounds.pass_tokens
        return self._ingest_inputs + load.inputs <= self.ingest_size and (
            tokens is None or self._ingest_tokens + load.tokens <= PASSES * tokens
        )
