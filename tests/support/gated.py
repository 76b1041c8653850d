"""An encoder whose calls wait until the test lets them go: interleavings on purpose."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gateway.encoders.fake import FakeEncoder
from gateway.errors import GatewayError
from gateway.ports import Encoding, Lane


@dataclass(eq=False)
class Call:
    """One call that reached the encoder; `go` lets it end, with `error` if one is set."""

    texts: list[str]
    lane: Lane
    go: asyncio.Event = field(default_factory=asyncio.Event)
    error: GatewayError | None = None


class GatedEncoder(FakeEncoder):
    """The fake behind a gate. With `counts` off it knows only totals, as a server does.

    `refused` maps texts to the errors that refuse them; `counted` are the texts of `count_tokens`;
    `most_at_once` is how often one text was in flight at once, by lane.
    """

    def __init__(self, *, counts: bool = True, open_gate: bool = False) -> None:
        super().__init__(size=32)
        self.calls: list[Call] = []
        self.counted: list[str] = []
        self.refused: dict[str, GatewayError] = {}
        self.most_at_once = 0
        self._counts = counts
        self._open_gate = open_gate
        self._flying: Counter[tuple[Lane, str]] = Counter()

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        call = Call(list(texts), lane)
        self.calls.append(call)
        self._flying.update((lane, text) for text in texts)
        self.most_at_once = max([self.most_at_once, *self._flying.values()])
        try:
            if not self._open_gate:
                await call.go.wait()
            if call.error is not None:
                raise call.error
            return self._answer(texts, await super().encode(texts, lane=lane))
        finally:
            self._flying.subtract((lane, text) for text in texts)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        self.counted += texts
        return await super().count_tokens(texts)

    def _answer(self, texts: Sequence[str], encoding: Encoding) -> Encoding:
        refused = {row: self.refused[t] for row, t in enumerate(texts) if t in self.refused}
        assert encoding.counts is not None
        counts = [0 if row in refused else count for row, count in enumerate(encoding.counts)]
        rows = encoding.rows
        rows[list(refused)] = np.nan
        known = counts if self._counts else None
        return replace(encoding, tokens=sum(counts), refused=refused, counts=known)


async def turns(count: int = 5) -> None:
    """Let every task that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)
