"""A server with what we know of its load and health: a window of inputs and a circuit breaker."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import ReplicaChanged, Sink, WindowChanged
from gateway.ports import Lane
from gateway.tei.answers import Embedded, bad_row
from gateway.tei.batches import Batch, Room
from gateway.tei.breaker import Breaker, State
from gateway.tei.client import TEIClient
from gateway.tei.examiner import Look
from gateway.tei.line import Limits
from gateway.tei.refusals import (
    SERVICE,
    BackendFailed,
    BrokenAnswer,
    InputRejected,
    TooMuchAtOnce,
    unavailable,
)
from gateway.tei.retry import Clock
from gateway.tei.window import Bounds, Load, Window
from gateway.tei.wire import Info, Token

T = TypeVar("T")

GUESS: Final = Room(inputs=32, payload_bytes=2_000_000, tokens=16_384)
"""TEI's defaults, until a server has told its own limits."""


BYTES_PER_TOKEN: Final = 4
"""An estimate, for what a request takes of a window whose bound is inputs."""
CANARY_INPUTS: Final = 16
CANARY_TOKENS: Final = 1_024
"""What a canary takes of the window while it asks; it asks one batch after the other."""
LOOK_SECONDS: Final = 3.0
"""How long a question after its health waits to hear who a busy server is."""


class Replica:
    """One member of a pool. It comes back by itself: an open breaker leads to trials.

    `up` says that it answered, and was not given up since: then its absence may be a restart.
    `error` is why it failed last, None when it is well.
    """

    def __init__(
        self,
        client: Callable[[Callable[[Info], None]], TEIClient],
        limits: Limits,
        sink: Sink,
        *,
        service: str = SERVICE,
    ) -> None:
        """Take a client, made with what it shall call when the server told its limits.

        `service` names the server in events.
        """
        self._service: Final = service
        self.window: Final = Window(Bounds(limits.max_in_flight))
        self.up = False
        self.error: GatewayError | None = None
        self._told = False
        self._uses = 0
        self._closed = False
        self._limits = limits
        self._sink = sink
        self._breaker = Breaker()
        self._trial: asyncio.Task[None] | None = None
        self._room = GUESS
        self.client: Final = client(self._obey)

    @property
    def where(self) -> str:
        return self.client.where

    @property
    def ready(self) -> bool:
        """Whether it may be asked: not found down or wrong since it was last well."""
        return self._breaker.state is State.CLOSED

    @property
    def pressure(self) -> float:
        """Inputs in flight and waiting, as a share of what may be in flight."""
        return self.window.load / max(1, self.window.size)

    @property
    def room(self) -> Room:
        """What one request to it may hold now."""
        most = min(self._room.inputs, self.window.largest)
        return Room(max(1, most), self._limits.payload_bytes, self._room.tokens)

    @property
    def busy(self) -> bool:
        """Whether anybody still waits for it."""
        return self._uses > 0

    async def embed(self, batch: Batch, lane: Lane, clock: Clock) -> Embedded:
        """One attempt, begun when the window has room; errors as `TEIClient.embed`."""
        self._uses += 1
        try:
            load = await self.window.take(len(batch), batch.tokens, lane)
            try:
                clock.start()
                answer = await self._watched(self.client.embed(batch.texts, clock.left), load)
            finally:
                self.window.give_back(load)
        finally:
            self._uses -= 1
        if answer.bad:
            self._fail(bad_row(self.where, answer.rows[answer.bad[0]], batch.places[answer.bad[0]]))
        else:
            self._succeed()
        return answer

    async def rerank(
        self, query: bytes, texts: Sequence[bytes], *, raw: bool, clock: Clock
    ) -> list[float]:
        """One attempt, begun when the window has room; errors as `TEIClient.rerank`."""
        self._uses += 1
        try:
            tokens = sum(map(len, texts)) // BYTES_PER_TOKEN
            load = await self.window.take(len(texts), tokens, Lane.QUERY)
            try:
                clock.start()
                asked = self.client.rerank(query, texts, raw=raw, seconds=clock.left)
                answer = await self._watched(asked, load)
            finally:
                self.window.give_back(load)
        finally:
            self._uses -= 1
        self._succeed()
        return answer

    async def tokenize(
        self, texts: Sequence[bytes], *, specials: bool, clock: Clock
    ) -> list[list[Token]]:
        """One attempt; no permit is taken."""
        clock.start()
        self._uses += 1
        try:
            answer = await self._watched(
                self.client.tokenize(texts, specials=specials, seconds=clock.left)
            )
        finally:
            self._uses -= 1
        self._succeed()
        return answer

    async def meet(self) -> None:
        """Verify the server now, and ask it from now on; a failure leaves it out.

        Raises:
            GatewayError: why it is left out.
        """
        await self._verify(anew=not self.ready)

    async def health(self) -> str:
        """Ask how it is, and who, where another server may answer by now; a wrong one is left out.

        Raises:
            GatewayError: it is down, ill or the wrong one.
        """
        if not self.ready or self.client.known is None:
            await self.meet()
        state = await self.client.health()
        # one that is too busy to say works, and its answers are held back until it said so
        with suppress(TimeoutError, UpstreamOverloaded):
            async with asyncio.timeout(LOOK_SECONDS):
                await self._examined(self.client.look_again())
        return state

    async def prove(self) -> bool:
        """Have the server examined anew; one that fails is left out."""
        with suppress(GatewayError):  # kept in `error`
            await self._verify(anew=True)
            return True
        return False

    async def repeat(self, turn: int) -> Look:
        """Ask again for vectors that are known, as an ingest would; other ones leave it out.

        No answer, or a broken one, counts against it as one to a caller does; so does a failed
        inference, for the texts are known to be well.

        Raises:
            ConfigurationError: it drifted.
            UpstreamError: it could not be asked, or gave no answer that is one.
        """
        load = await self.window.take(CANARY_INPUTS, CANARY_TOKENS, Lane.INGEST)
        try:
            look = await self.client.repeat(turn)
        except ConfigurationError as exc:
            self._fail(exc, at_once=True)
            raise
        except (UpstreamUnavailable, UpstreamTimeout, BrokenAnswer) as exc:
            self._fail(exc)
            raise
        finally:
            self.window.give_back(load)
        if look is None:
            raise unavailable(f"TEI at {self.where} is no longer verified: asking again later")
        if self.ready:
            self._succeed()
        return look

    async def aclose(self) -> None:
        self._closed = True
        if self._trial is not None:
            self._trial.cancel()
            await asyncio.gather(self._trial, return_exceptions=True)
        await self.client.aclose()

    async def _verify(self, *, anew: bool) -> None:
        await self._examined(self.client.verify(anew=anew))
        self._succeed()

    async def _examined(self, look: Awaitable[object]) -> None:
        """Leave it out where a look at who it is fails."""
        self._uses += 1
        try:
            await look
        except UpstreamOverloaded:
            raise  # alive, and not asked yet who it is
        except GatewayError as exc:
            self._fail(exc, at_once=True)
            raise
        finally:
            self._uses -= 1

    async def _watched(self, attempt: Awaitable[T], load: Load | None = None) -> T:
        """Learn from how an attempt ends."""
        try:
            answer = await attempt
        except UpstreamOverloaded:
            if load is not None and self.window.shrink(load):
                self._tell_window()
            raise
        except (BackendFailed, InputRejected, TooMuchAtOnce):
            raise  # perhaps the texts are to blame
        except (UpstreamUnavailable, UpstreamTimeout, BrokenAnswer) as exc:
            self._fail(exc)
            raise
        except (ConfigurationError, UpstreamRejected) as exc:
            self._fail(exc, at_once=True)
            raise
        if load is not None and self.window.grow(load):
            self._tell_window()
        return answer

    def _succeed(self) -> None:
        news = not self.ready or not self._told
        self.up, self.error = True, None
        self._breaker.succeed()
        if news:
            self._tell()

    def _fail(self, error: GatewayError, *, at_once: bool = False) -> None:
        before, self.error = self._breaker.state, error
        self._breaker.fail(str(error), at_once=at_once)
        if self._breaker.state is not before:
            self._tell()
        if self.ready:
            return
        self.client.forget()
        if self._trial is None and not self._closed:
            self._trial = asyncio.create_task(self._come_back())
            self._trial.add_done_callback(self._came_back)

    async def _come_back(self) -> None:
        """Try again and again, with growing pauses, until the server is well."""
        while not self.ready:
            await asyncio.sleep(self._breaker.pause_left)
            if self.ready:
                return
            self._breaker.try_out()
            try:
                await self.client.verify(anew=True)
            except GatewayError as exc:
                self.error = exc
                self._breaker.fail(str(exc))
            else:
                self._succeed()

    def _came_back(self, _task: asyncio.Task[None]) -> None:
        self._trial = None

    def _obey(self, info: Info) -> None:
        most = min(self._limits.max_in_flight, max(1, info.max_concurrent_requests))
        self.window.resize(Bounds(most, info.max_batch_tokens, info.max_batch_requests))
        self._room = Room(
            info.max_client_batch_size,
            self._limits.payload_bytes,
            max(info.max_batch_tokens or GUESS.tokens, info.max_input_length),
        )
        self._tell_window()

    def _tell(self) -> None:
        self._told = True
        state = self._breaker.state
        self._sink(ReplicaChanged(self._service, self.where, state.value, self._breaker.reason))

    def _tell_window(self) -> None:
        self._sink(WindowChanged(self._service, self.where, self.window.size))
