"""One permit per input, as TEI counts `max_concurrent_requests`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from gateway.modelserver.contract import Contract, Refusal


class Permits:
    """From 1.9.0 nothing waits; before, batches waited without bound and single inputs did not."""

    def __init__(self, contract: Contract) -> None:
        self._limit: Final = contract.max_concurrent_requests
        self._batches_wait: Final = not contract.from_1_9
        self._changed: Final = asyncio.Condition()
        self.taken = 0
        self.most_taken = 0

    @asynccontextmanager
    async def held(self, count: int, *, single: bool) -> AsyncGenerator[None, None]:
        """Hold `count` permits.

        Raises:
            Refusal: Overloaded, when they are not free and the contract does not wait.
        """
        async with self._changed:
            if self.taken + count > self._limit:
                if single or not self._batches_wait:
                    raise Refusal("Overloaded", "Model is overloaded", "overloaded")
                await self._changed.wait_for(lambda: self.taken + count <= self._limit)
            self.taken += count
            self.most_taken = max(self.most_taken, self.taken)
        try:
            yield
        finally:
            self.taken -= count
            if self._batches_wait:
                async with self._changed:
                    self._changed.notify_all()
