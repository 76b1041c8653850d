"""Nothing passes from a server that was not verified, or was exchanged behind its address."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from gateway.errors import UnsupportedServer, UpstreamUnavailable
from gateway.events import discard
from gateway.tei.examiner import Examiner, Look
from gateway.tei.line import Answer, Line
from gateway.tei.refusals import BackendFailed, timed_out, unavailable
from gateway.tei.retry import Clock, Patience, patiently
from gateway.tei.shared import Shared
from gateway.tei.wire import Info, decode_info

CHECK_SECONDS: Final = 5.0
"""How long an answer is held back for a server that is too full to say who it is."""


class Examines(Protocol):
    """Judges the server at the end of a line."""

    async def examine(self, info: Info) -> None:
        """Refuse a server that is not the one expected, by what it says and answers.

        Raises:
            UnsupportedServer: with what is wrong and the remedy.
            UpstreamError: it could not be asked.
        """
        ...

    async def is_same(self) -> bool:
        """Tell whether a server that says what it said before is still the one examined."""
        ...

    def forget(self) -> None: ...


class Gate:
    """A line to one server, and whether that server is the one expected.

    `info` is what the verified server said of itself, None before and after it was lost.
    """

    def __init__(
        self,
        line: Line,
        examiner: Examines | None,
        on_info: Callable[[Info], None],
    ) -> None:
        self.info: Info | None = None
        self._line = line
        self._examiner = examiner
        self._on_info = on_info
        self._checked_connections = 0
        self._calls = 0
        self._started = 0
        self._opened_before = 0
        self._checking = Shared(self._check)

    @property
    def may_be_another(self) -> bool:
        """Whether a connection was opened since the last check."""
        return self._line.opened != self._checked_connections

    async def ask(self) -> Info:
        """Ask `/info`, without believing it."""
        return decode_info((await self._line.call("info", "/info")).body)

    async def require(self, seconds: float | None = None) -> Info:
        """Return the verified server's info, checking it first where needed, for so long at most.

        Raises:
            UnsupportedServer: it does not meet the expectation.
            UpstreamError: it could not be asked; one attempt, shared by all who wait.
        """
        return self.info or await self._within(seconds, self.check())

    async def check(self, *, anew: bool = False) -> Info:
        """Check the server again, as `require`; a check under way is joined.

        A server that says what it said before is believed, unless it is to be probed `anew`.
        """
        if anew and not self._checking.running:
            self.info = None
        return await self._checking.join()

    async def call(
        self, operation: str, path: str, body: bytes, info: Info, *, timeout_seconds: float | None
    ) -> Answer:
        """POST to the server that said `info`; its answer is held back until that is sure.

        A connection opened since the last check may end at another server: then it is asked again
        who it is, and the probe. (An address stands for one server: behind a balancer that hides
        several, nobody can tell which of them answered.)
        """
        if self._calls == 0:
            self._opened_before, self._started = self._line.opened, 0
        self._calls += 1
        self._started += 1
        try:
            answer = await self._line.call(operation, path, body, timeout_seconds=timeout_seconds)
        except BackendFailed:
            raise
        except UpstreamUnavailable:
            self.info = None
            raise
        finally:
            self._calls -= 1
        if not self.may_be_another:
            return answer
        # a full server is asked again here, so that the work behind the answer is not done twice
        patience = Patience(CHECK_SECONDS, CHECK_SECONDS, Clock(CHECK_SECONDS))
        checking = patiently(self.check, "verify", patience, discard)
        if await self._within(timeout_seconds, checking) != info:
            raise unavailable(f"another server took over at {self._line.where}: asking again")
        return answer

    def forget(self) -> None:
        """The server is not believed, and judges no other, until it is examined anew."""
        self.info = None
        if self._examiner is not None:
            self._examiner.forget()

    async def repeat(self, turn: int) -> Look | None:
        """Have the verified server repeat what it is known to answer; None where none is verified.

        Raises:
            UnsupportedServer: it answers otherwise now, and is no longer believed.
            UpstreamError: it could not be asked.
        """
        info = self.info
        if info is None or not isinstance(self._examiner, Examiner):
            return None
        try:
            return await self._examiner.repeat(info, turn)
        except UnsupportedServer:
            self.forget()
            raise

    async def aclose(self) -> None:
        self._checking.cancel()
        self.forget()

    async def _check(self) -> Info:
        opened, busy = self._line.opened, self._calls > 0
        info = await self.ask()
        examiner, same = self._examiner, info == self.info
        if examiner is not None and not (
            same and (self._is_alive(opened) or await examiner.is_same())
        ):
            self.info = None
            await examiner.examine(info)
        if not same or self.info is None:
            self._on_info(info)
            self.info = info
        # what was opened by others meanwhile was perhaps not asked: the next call looks again
        self._checked_connections = opened if busy else self._line.opened
        return info

    def _is_alive(self, opened: int) -> bool:
        """Tell whether a connection from before this burst of calls is still in use.

        Then the process at its end is the one that was examined, and the line only grew. After an
        exchange in silence every call of the burst has had to open a connection of its own.
        """
        return self._calls > 0 and opened - self._opened_before < self._started

    async def _within(self, seconds: float | None, checking: Awaitable[Info]) -> Info:
        try:
            async with asyncio.timeout(seconds):
                return await checking
        except TimeoutError as exc:
            raise timed_out(
                f"TEI at {self._line.where} could not be verified before the deadline"
            ) from exc
