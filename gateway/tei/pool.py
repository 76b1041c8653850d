"""Several replicas as one: every text of a call is encoded by some of them, or named as refused.

A batch is sent to the less loaded of two replicas drawn at random (Mitzenmacher, 2001), again where
that may help, and in halves where one of its texts is to blame. A full server is flow control, not
an error, until the deadline.
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamUnavailable,
)
from gateway.events import Sink
from gateway.ports import Encoding, Lane
from gateway.tei.answers import Embedded, bad_row
from gateway.tei.batches import Batch, Room, plan
from gateway.tei.call import BLAMES_AN_INPUT, Call
from gateway.tei.hedge import Hedge
from gateway.tei.line import Limits
from gateway.tei.refusals import BackendFailed, unavailable
from gateway.tei.replica import Replica
from gateway.tei.retry import Clock, Patience, patiently
from gateway.tei.together import together
from gateway.tei.wire import Token, text_json

T = TypeVar("T")

BYTES_PER_TOKEN: Final = 4.0
"""A first guess; answers tell the real figure."""
LEARNING: Final = 0.05
MOST_WORKERS: Final = 256
SPLIT_AFTER: Final = 6
"""Answers "full" to one batch after which it is sent in halves: it may be more than ever is free."""


class Pool:
    """`replicas` may be exchanged at any time; calls under way end on those they began with."""

    def __init__(
        self,
        replicas: Iterable[Replica],
        *,
        size: int,
        limits: Limits,
        sink: Sink,
        hedge: bool = False,
    ) -> None:
        """Join replicas that were made for vectors of `size` components."""
        self.replicas: tuple[Replica, ...] = tuple(replicas)
        self._size = size
        self._limits = limits
        self._sink = sink
        self._hedge = Hedge(sink) if hedge else None
        self._bytes_per_token = BYTES_PER_TOKEN

    async def embed(self, texts: Sequence[str], lane: Lane) -> Encoding:
        """Encode texts; those that no server takes are named in `Encoding.refused`.

        Raises:
            ConfigurationError: no replica is one that would answer rightly.
            UpstreamError: after bounded retries, or broken answers.
        """
        batches, refused = plan(texts, await self._room(), self._bytes_per_token)
        call = Call(len(texts), self._size, lane)
        for place, error in refused.items():
            call.refuse(place, error)
        if len(batches) == 1:
            await self._deliver(call, batches[0], self._clock())
        elif batches:
            queue = iter(batches)

            async def work() -> None:
                for batch in queue:
                    await self._deliver(call, batch, self._clock())

            workers = min(len(batches), self._workers(batches))
            await together([work() for _ in range(workers)])
        return call.encoding()

    async def tokens(self, texts: Sequence[str], *, specials: bool = True) -> list[list[Token]]:
        """Ask a server for the tokens of texts.

        Raises:
            InvalidText: a text cannot be sent.
            UpstreamError, ConfigurationError: as `embed`.
        """
        room = await self._room()
        encoded = [text_json(text, place) for place, text in enumerate(texts)]
        parts = [encoded[at : at + room.inputs] for at in range(0, len(encoded), room.inputs)]
        found: list[list[Token]] = []
        for part in parts:
            clock = self._clock()
            found += await self._persist(
                "tokenize",
                clock,
                lambda replica, part=part, clock=clock: replica.tokenize(
                    part, specials=specials, clock=clock
                ),
            )
        return found

    def ready(self, but: Iterable[Replica] = ()) -> list[Replica]:
        """Replicas that may be asked, without some."""
        left_out = set(but)
        return [one for one in self.replicas if one.ready and one not in left_out]

    async def _deliver(self, call: Call, batch: Batch, clock: Clock) -> None:
        """See a batch through: all its texts are answered or refused after it."""
        try:
            answer, replica = await self._send(batch, call.lane, clock)
        except BLAMES_AN_INPUT as exc:
            await self._deliver_apart(call, batch, clock, exc)
        except UpstreamOverloaded as exc:
            if len(batch) == 1 or clock.left <= 0:
                raise
            await self._deliver_apart(call, batch, clock, exc)
        else:
            call.take(batch, answer)
            self._learn(batch, answer)
            if answer.bad:
                await self._ask_another(call, batch, answer, replica)

    async def _deliver_apart(
        self, call: Call, batch: Batch, clock: Clock, error: GatewayError
    ) -> None:
        if len(batch) == 1:
            call.refuse(batch.places[0], error)
            return
        for half in batch.halves():
            await self._deliver(call, half, clock)

    async def _ask_another(
        self, call: Call, batch: Batch, answer: Embedded, replica: Replica
    ) -> None:
        """Have bad rows made once more by another replica, if there is one; refuse what stays bad."""
        batch, rows, where = batch.only(answer.bad), answer.rows[list(answer.bad)], replica.where
        bad = range(len(batch))
        if self.ready(but=[replica]):
            again, other = await self._send(batch, call.lane, self._clock(), avoid=[replica])
            call.take(batch, again, counted=True)
            bad, rows, where = again.bad, again.rows, other.where
        for row in bad:
            call.refuse(batch.places[row], bad_row(where, rows[row], batch.places[row]))

    async def _send(
        self, batch: Batch, lane: Lane, clock: Clock, avoid: Sequence[Replica] = ()
    ) -> tuple[Embedded, Replica]:
        async def embed(replica: Replica) -> tuple[Embedded, Replica]:
            return await replica.embed(batch, lane, clock), replica

        if self._hedge is None or lane is not Lane.QUERY or len(self.ready(avoid)) < 2:
            return await self._persist("embed", clock, embed, avoid=avoid, split=len(batch) > 1)
        asked: list[Replica] = list(avoid)

        async def noted(replica: Replica) -> tuple[Embedded, Replica]:
            asked.append(replica)
            return await embed(replica)

        return await self._hedge.race(
            self._persist("embed", clock, noted, avoid=avoid, split=len(batch) > 1),
            lambda: self._persist("embed", clock, embed, avoid=asked, split=len(batch) > 1),
        )

    async def _persist(
        self,
        operation: str,
        clock: Clock,
        ask: Callable[[Replica], Awaitable[T]],
        *,
        avoid: Iterable[Replica] = (),
        split: bool = False,
    ) -> T:
        """Ask a replica, and again, or another one, while that may help.

        With `split` a server that stays full is not asked the same for long: half may fit.
        """
        tried = set(avoid)

        async def attempt() -> T:
            replica = await self._choose(tried)
            try:
                return await ask(replica)
            except ConfigurationError as exc:
                tried.add(replica)
                if self.ready():  # it is left out from now on; the others go on
                    raise unavailable(str(exc)) from exc
                raise self._nobody() from exc
            except UpstreamError:
                tried.add(replica)
                raise

        seconds = self._limits.timeout_seconds
        patience = Patience(
            full_seconds=seconds,
            away_seconds=seconds if any(one.up for one in self.replicas) else 0.0,
            clock=clock,
            full_attempts=SPLIT_AFTER if split else None,
            may_pause=lambda: not self.ready(but=tried),
        )
        try:
            return await patiently(attempt, operation, patience, self._sink)
        except UpstreamUnavailable as exc:
            if not isinstance(exc, BackendFailed):
                for one in self.replicas:
                    one.up = False  # until one answers again, callers are told at once
            raise

    async def _choose(self, tried: set[Replica]) -> Replica:
        """The less loaded of two that may be asked; those tried before come last."""
        ready = self.ready(but=tried) or self.ready()
        if not ready:
            await self._revive()
            ready = self.ready()
        drawn = ready if len(ready) == 1 else random.sample(ready, 2)
        return min(drawn, key=lambda one: one.pressure)

    async def _revive(self) -> None:
        """Look whether any replica is well again.

        Raises:
            GatewayError: none is.
        """

        async def meet(replica: Replica) -> None:
            with suppress(GatewayError):  # kept in `Replica.error`
                await replica.meet()

        await together([meet(one) for one in self.replicas])
        if not self.ready():
            raise self._nobody()

    def _nobody(self) -> GatewayError:
        """The error of a call that no replica can serve: what each of them says."""
        errors = [one.error for one in self.replicas if one.error is not None]
        away = [error for error in errors if isinstance(error, UpstreamError)]
        if len(errors) == 1 or not away:
            return errors[0]
        return unavailable("no TEI replica can be asked: " + "; ".join(map(str, errors)))

    async def _room(self) -> Room:
        """What one request may hold on any replica that may be asked."""
        ready = self.ready()
        if not any(one.client.known for one in ready):
            await self._persist("verify", self._clock(), _meet)
            ready = self.ready()
        rooms = [one.room for one in ready if one.client.known] or [one.room for one in ready]
        return Room(
            min(room.inputs for room in rooms),
            min(room.payload_bytes for room in rooms),
            min(room.tokens for room in rooms),
        )

    def _workers(self, batches: Sequence[Batch]) -> int:
        """Enough batches on their way to fill every window, and one more for each replica."""
        usual = max(1, sum(map(len, batches)) // len(batches))
        wanted = sum(one.window.ingest_size // usual + 2 for one in self.replicas)
        return min(MOST_WORKERS, wanted)

    def _learn(self, batch: Batch, answer: Embedded) -> None:
        """Correct the estimate of bytes per token by what the server counted."""
        if answer.tokens > 0:
            seen = sum(map(len, batch.texts)) / answer.tokens
            self._bytes_per_token += LEARNING * (max(1.0, seen) - self._bytes_per_token)

    def _clock(self) -> Clock:
        return Clock(self._limits.timeout_seconds)


async def _meet(replica: Replica) -> None:
    await replica.meet()
