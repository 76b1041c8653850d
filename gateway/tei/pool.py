"""Several replicas as one: whom to ask, and whom else when that fails.

A request goes to the less loaded of two replicas drawn at random (Mitzenmacher, 2001), and again, or
to another one, where that may help. A full server is flow control, not an error, until the deadline.
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from gateway.events import Sink
from gateway.ports import Lane
from gateway.tei.batches import Room, consecutive
from gateway.tei.line import Limits
from gateway.tei.refusals import SERVICE, BackendFailed, BrokenAnswer, unavailable
from gateway.tei.replica import Replica
from gateway.tei.retry import Clock, Patience, patiently
from gateway.tei.wire import Token
from gateway.together import together

T = TypeVar("T")

QUERY_AWAY_SECONDS: Final = 5.0
"""How long somebody waits for servers that went away to come back; an ingest waits to the deadline."""
SPLIT_AFTER: Final = 6
"""Answers "full" to one batch after which it is sent in halves: it may be more than ever is free."""


class Pool:
    """`replicas` may be exchanged at any time; calls under way end on those they began with."""

    def __init__(
        self,
        replicas: Iterable[Replica],
        *,
        limits: Limits,
        sink: Sink,
        service: str = SERVICE,
    ) -> None:
        """Take replicas; `service` is their name in errors and events."""
        self._service = service
        self.replicas: tuple[Replica, ...] = tuple(replicas)
        self._limits = limits
        self._sink = sink

    async def tokens(self, texts: Sequence[str], *, specials: bool = True) -> list[list[Token]]:
        """Ask a server for the tokens of texts.

        Raises:
            InvalidText, InputTooLong: a text cannot be sent, by index.
            UpstreamError, ConfigurationError: as `embed`.
        """
        room = await self.room()
        parts = consecutive(texts, room)
        found: list[list[Token]] = []
        for part in parts:
            clock = self.clock()
            found += await self.persist(
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

    async def persist(
        self,
        operation: str,
        clock: Clock,
        ask: Callable[[Replica], Awaitable[T]],
        *,
        lane: Lane = Lane.QUERY,
        avoid: Iterable[Replica] = (),
        split: bool = False,
    ) -> T:
        """Ask a replica, and again, or another one, while that may help.

        With `split` a server that stays full is not asked the same for long: half may fit.
        """
        tried, broken = set(avoid), set(avoid)

        async def attempt() -> T:
            replica = await self._choose(tried, broken)
            try:
                return await ask(replica)
            except (ConfigurationError, UpstreamError) as exc:
                tried.add(replica)
                if isinstance(exc, BrokenAnswer):
                    broken.add(replica)
                if (judged := self._judged(exc)) is exc:
                    raise
                raise judged from exc

        seconds = self._limits.timeout_seconds
        patience = Patience(
            full_seconds=seconds,
            away_seconds=self._away_seconds(lane),
            clock=clock,
            full_attempts=SPLIT_AFTER if split else None,
            may_pause=lambda: not self.ready(but=tried),
        )
        try:
            return await patiently(attempt, operation, patience, self._sink, service=self._service)
        except UpstreamUnavailable as exc:
            if not isinstance(exc, BackendFailed):
                for one in self.replicas:
                    one.up = False  # until one answers again, callers are told at once
            raise

    def _away_seconds(self, lane: Lane) -> float:
        """How long servers that are away are waited for: not at all where none ever was there."""
        if not any(one.up for one in self.replicas):
            return 0.0
        seconds = self._limits.timeout_seconds
        return min(seconds, QUERY_AWAY_SECONDS) if lane is Lane.QUERY else seconds

    async def _choose(self, tried: set[Replica], broken: set[Replica]) -> Replica:
        """The less loaded of two that may be asked: not yet `tried`, or at least not `broken`."""
        ready = self.ready(but=tried) or self.ready(but=broken) or self.ready()
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

    def _judged(self, error: GatewayError) -> GatewayError:
        """An error of one replica, as it looks when there are others.

        A wrong replica is left out from now on and the others go on; when none is left to ask, each
        of them is heard.
        """
        if len(self.replicas) == 1:
            return error
        wrong = isinstance(error, ConfigurationError) or type(error) is UpstreamRejected
        if (wrong or isinstance(error, UpstreamUnavailable)) and not self.ready():
            return self._nobody()
        return unavailable(str(error), self._service) if wrong else error

    def _nobody(self) -> GatewayError:
        """The error of a call that no replica can serve: what each of them says."""
        errors = [one.error for one in self.replicas if one.error is not None]
        away = [error for error in errors if isinstance(error, UpstreamError)]
        if len(errors) == 1 or not away:
            return errors[0]
        told = "no TEI replica can be asked: " + "; ".join(map(str, errors))
        return unavailable(told, self._service)

    async def room(self) -> Room:
        """What one request may hold on any replica that may be asked."""
        ready = self.ready()
        if not any(one.client.known for one in ready):
            await self.persist("verify", self.clock(), _meet)
            ready = self.ready()
        rooms = [one.room for one in ready if one.client.known] or [one.room for one in ready]
        if len(rooms) == 1:
            return rooms[0]
        return Room(
            min(room.inputs for room in rooms),
            min(room.payload_bytes for room in rooms),
            min(room.tokens for room in rooms),
        )

    def clock(self) -> Clock:
        return Clock(self._limits.timeout_seconds)


async def _meet(replica: Replica) -> None:
    await replica.meet()
