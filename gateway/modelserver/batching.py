"""The queue: inputs of concurrent requests share forward passes, bounded by padded tokens.

TEI's rule (core/src/queue.rs): first come first served; a batch takes the next input while
`longest * (inputs + 1)` stays within `max_batch_tokens`. An idle model never waits for more.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Literal, TypeAlias

from gateway.encoders.defects import Defect

Job: TypeAlias = Literal["pooled", "states", "scores"] | Defect
"""What is computed: pooled rows, perhaps with a defect, ... A forward pass does one of them."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """One input as the model reads it: `pair` is the second text of a cross-encoder's input."""

    text: str
    ids: tuple[int, ...]
    pair: str = ""

    @property
    def tokens(self) -> int:
        return len(self.ids)


Compute: TypeAlias = Callable[[Job, Sequence[Prepared]], Awaitable[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass that took place."""

    inputs: int
    tokens: int
    ok: bool


class Ticket:
    """The inputs of one request on their way through the queue."""

    def __init__(self, inputs: int) -> None:
        self.done: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self.results: Final[list[Any]] = [None] * inputs
        self.queued = 0.0
        self.computed = 0.0
        self._left = inputs

    def put(self, place: int, result: object, *, queued: float, computed: float) -> None:
        self.results[place] = result
        self.queued += queued / len(self.results)
        self.computed += computed / len(self.results)
        self._left -= 1
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Entry:
    job: Job
    prepared: Prepared
    ticket: Ticket
    place: int
    since: float


class Batcher:
    """Runs one forward pass at a time over whatever waits."""

    def __init__(
        self,
        compute: Compute,
        *,
        max_tokens: int,
        max_requests: int | None,
        passed: Callable[[Pass], None],
        dropped: Callable[[], None],
    ) -> None:
        """`passed` is told of every forward pass, `dropped` of every input nobody waits for."""
        self._compute: Final = compute
        self._max_tokens: Final = max_tokens
        self._max_requests: Final = max_requests
        self._passed: Final = passed
        self._dropped: Final = dropped
        self._entries: Final[deque[_Entry]] = deque()
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    async def run(self, job: Job, inputs: Sequence[Prepared]) -> Ticket:
        """Compute inputs; when the caller is cancelled, those not begun are left out.

        Raises:
            Exception: what the computation of one of them raised, alone.
        """
        ticket = Ticket(len(inputs))
        now = perf_counter()
        self._entries.extend(
            _Entry(job, prepared, ticket, place, now) for place, prepared in enumerate(inputs)
        )
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain())
        await ticket.done
        return ticket

    async def _drain(self) -> None:
        await asyncio.sleep(0)  # requests of the same turn of the loop share a pass
        while batch := self._next():
            await self._run(batch)

    def _next(self) -> list[_Entry]:
        batch: list[_Entry] = []
        longest = 0
        while self._entries and len(batch) != self._max_requests:
            entry = self._entries[0]
            if entry.ticket.done.done():
                self._entries.popleft()
                if entry.ticket.done.cancelled():
                    self._dropped()
                continue
            longest = max(longest, entry.prepared.tokens)
            too_much = longest * (len(batch) + 1) > self._max_tokens
            if batch and (too_much or entry.job != batch[0].job):
                break
            batch.append(self._entries.popleft())
        return batch

    async def _run(self, batch: list[_Entry]) -> None:
        """Compute a batch; one that fails is halved until the input that fails is alone."""
        started = perf_counter()
        try:
            results = await self._compute(batch[0].job, [entry.prepared for entry in batch])
            answers = list(zip(batch, results, strict=True))
        except Exception as exc:  # noqa: BLE001 - whatever it was, the waiting request gets it
            self._passed(_pass(batch, ok=False))
            if len(batch) == 1:
                batch[0].ticket.fail(exc)
                return
            await self._run(batch[: len(batch) // 2])
            await self._run(batch[len(batch) // 2 :])
            return
        self._passed(_pass(batch, ok=True))
        took = perf_counter() - started
        for entry, result in answers:
            queued = started - entry.since
            entry.ticket.put(entry.place, result, queued=queued, computed=took)


def _pass(batch: Sequence[_Entry], *, ok: bool) -> Pass:
    return Pass(len(batch), sum(entry.prepared.tokens for entry in batch), ok)
