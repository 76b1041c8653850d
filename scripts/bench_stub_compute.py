"""What a stub of TEI does with its time: nothing, one forward pass after the other, or harm."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

PASS_SECONDS: Final = 0.004
TEXT_SECONDS: Final = 0.000_05

Done = Callable[[], None]


class Queue(Protocol):
    """Takes requests and says when each is done."""

    def put(self, tokens: int, texts: int, done: Done) -> None: ...


class Zero:
    """Every request is done at once."""

    def __init__(self, max_batch_tokens: int) -> None:
        self.max_batch_tokens = max_batch_tokens

    def put(self, tokens: int, texts: int, done: Done) -> None:  # noqa: ARG002
        done()


class GPU:
    """One forward pass at a time, over as many waiting requests as its tokens allow.

    A pass begins when the one before it should have ended, so that late timers cost nothing.
    """

    def __init__(self, max_batch_tokens: int) -> None:
        self.max_batch_tokens = max_batch_tokens
        self.waiting: deque[tuple[int, int, Done]] = deque()
        self.busy = False

    def put(self, tokens: int, texts: int, done: Done) -> None:
        self.waiting.append((tokens, texts, done))
        if not self.busy:
            self.busy = True
            self.start(asyncio.get_running_loop().time())

    def start(self, at: float) -> None:
        batch: list[Done] = []
        tokens = texts = 0
        while self.waiting and (not batch or tokens + self.waiting[0][0] <= self.max_batch_tokens):
            more, count, done = self.waiting.popleft()
            tokens += more
            texts += count
            batch.append(done)
        end = at + PASS_SECONDS + TEXT_SECONDS * texts
        asyncio.get_running_loop().call_at(end, self.finish, batch, end)

    def finish(self, batch: list[Done], end: float) -> None:
        self.busy = bool(self.waiting)
        if self.busy:
            self.start(end)
        for done in batch:
            done()


class Faults:
    """Draws the fault of a request by chance, the same for the same seed."""

    def __init__(self, overloaded: float, reset: float, swapped: float) -> None:
        self.shares = (("overloaded", overloaded), ("reset", reset), ("swapped", swapped))
        self.none = not any(share for _, share in self.shares)
        self.restart(0)

    def restart(self, seed: int) -> None:
        self.rng = random.Random(seed)  # noqa: S311

    def draw(self) -> str | None:
        if self.none:
            return None
        drawn = self.rng.random()
        for name, share in self.shares:
            if drawn < share:
                return name
            drawn -= share
        return None


QUEUES: Final[dict[str, Callable[[int], Queue]]] = {"zero": Zero, "gpu": GPU}
