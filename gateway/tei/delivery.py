"""Every text of a call is encoded by some replica, or named as refused.

Texts of like length go together; a batch of which one text is to blame is sent in halves until that
text is alone; rows that are no unit vectors are asked of another replica.
"""

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from gateway.errors import GatewayError, UpstreamOverloaded
from gateway.ports import Encoding, Lane
from gateway.tei.answers import Embedded, bad_row
from gateway.tei.batches import Batch, plan
from gateway.tei.call import BLAMES_AN_INPUT, Call
from gateway.tei.hedge import Hedge
from gateway.tei.pool import Pool
from gateway.tei.refusals import BackendFailed, InputRejected
from gateway.tei.replica import Replica
from gateway.tei.retry import Clock
from gateway.together import together

BYTES_PER_TOKEN: Final = 4.0
"""A first guess; answers tell the real figure."""
LEARNING: Final = 0.05
MOST_WORKERS: Final = 256


class Delivery:
    """Sees calls through over a pool."""

    def __init__(self, pool: Pool, *, size: int, hedge: Hedge | None = None) -> None:
        """Take a pool of servers whose vectors have `size` components."""
        self._pool = pool
        self._size = size
        self._hedge = hedge
        self._bytes_per_token = BYTES_PER_TOKEN

    async def embed(self, texts: Sequence[str], lane: Lane) -> Encoding:
        """Encode texts; those that no server takes are named in `Encoding.refused`.

        Raises:
            ConfigurationError: no replica is one that would answer rightly.
            UpstreamError: after bounded retries, or broken answers.
        """
        batches, refused = plan(texts, await self._pool.room(), self._bytes_per_token)
        call = Call(len(texts), self._size, lane)
        for place, error in refused.items():
            call.refuse(place, error)
        if len(batches) == 1:
            await self._deliver(call, batches[0], self._pool.clock())
        elif batches:
            queue = iter(batches)

            async def work() -> None:
                for batch in queue:
                    await self._deliver(call, batch, self._pool.clock())

            workers = min(len(batches), self._workers(batches))
            await together([work() for _ in range(workers)])
        return call.encoding()

    async def _deliver(
        self, call: Call, batch: Batch, clock: Clock, doubted: Sequence[Replica] = ()
    ) -> None:
        """See a batch through: all its texts are answered or refused after it.

        Its rows were bad from the `doubted` replicas, which are asked last.
        """
        refusers: list[Replica] = []
        try:
            answer, replica = await self._send(batch, call.lane, clock, doubted, refusers)
        except BLAMES_AN_INPUT as exc:
            if len(batch) == 1 and await self._is_to_blame(exc, refusers):
                call.refuse(batch.places[0], exc)
            elif clock.left <= 0:
                raise
            else:
                await self._deliver_halves(call, batch, clock, doubted)
        except UpstreamOverloaded:
            if len(batch) == 1 or clock.left <= 0:
                raise
            await self._deliver_halves(call, batch, clock, doubted)
        else:
            self._learn(batch, answer)
            call.take(batch, answer, counted=bool(doubted))
            if answer.bad:
                await self._deliver_bad(call, batch, answer, replica, doubted)

    async def _deliver_bad(
        self,
        call: Call,
        batch: Batch,
        answer: Embedded,
        replica: Replica,
        doubted: Sequence[Replica],
    ) -> None:
        """Have bad rows made once more by another replica, if there is one; else refuse them."""
        if not doubted and self._pool.ready(but=[replica]):
            await self._deliver(call, batch.only(answer.bad), self._pool.clock(), [replica])
            return
        for row in answer.bad:
            place = batch.places[row]
            call.refuse(place, bad_row(replica.where, answer.rows[row], place))

    async def _deliver_halves(
        self, call: Call, batch: Batch, clock: Clock, doubted: Sequence[Replica]
    ) -> None:
        """One of its texts may be to blame: send halves, until that text is alone."""
        for half in batch.halves() if len(batch) > 1 else (batch,):
            await self._deliver(call, half, clock, doubted)

    async def _is_to_blame(self, error: GatewayError, refusers: Sequence[Replica]) -> bool:
        """Tell whether a text is at fault, rather than the servers that failed on it.

        A server that failed, and did not say what is wrong with the text, is examined anew first;
        one that does not pass is left out.

        Raises:
            GatewayError: `error`, when no server passes and none is left to ask.
        """
        if not isinstance(error, BackendFailed | InputRejected):
            return True
        if any(await together([one.prove() for one in dict.fromkeys(refusers)])):
            return True
        if not self._pool.ready():
            raise error
        return False

    async def _send(
        self,
        batch: Batch,
        lane: Lane,
        clock: Clock,
        avoid: Sequence[Replica],
        refusers: list[Replica],
    ) -> tuple[Embedded, Replica]:
        """Have a batch embedded; `refusers` takes those for whom a text of it may be to blame."""

        async def embed(replica: Replica) -> tuple[Embedded, Replica]:
            asked.append(replica)
            try:
                return await replica.embed(batch, lane, clock), replica
            except BLAMES_AN_INPUT:
                refusers.append(replica)
                raise

        def persist(but: Sequence[Replica]) -> Coroutine[Any, Any, tuple[Embedded, Replica]]:
            return self._pool.persist(
                "embed", clock, embed, lane=lane, avoid=but, split=len(batch) > 1
            )

        asked: list[Replica] = list(avoid)
        if self._hedge is None or lane is not Lane.QUERY or len(self._pool.ready(avoid)) < 2:
            return await persist(avoid)
        return await self._hedge.race(persist(avoid), lambda: persist(asked))

    def _workers(self, batches: Sequence[Batch]) -> int:
        """Enough batches on their way to fill every window, and one more for each replica."""
        usual = max(1, sum(map(len, batches)) // len(batches))
        wanted = sum(one.window.ingest_size // usual + 2 for one in self._pool.replicas)
        return min(MOST_WORKERS, wanted)

    def _learn(self, batch: Batch, answer: Embedded) -> None:
        """Correct the estimate of bytes per token by what the server counted."""
        if answer.tokens > 0:
            seen = sum(map(len, batch.texts)) / answer.tokens
            self._bytes_per_token += LEARNING * (max(1.0, seen) - self._bytes_per_token)
