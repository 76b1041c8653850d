"""Nothing passes from a server that was not verified, or was exchanged behind its address."""

from collections.abc import Callable

from gateway.errors import UnsupportedServer, UpstreamUnavailable
from gateway.tei.examiner import Examiner, Look
from gateway.tei.line import Answer, Line
from gateway.tei.refusals import BackendFailed, unavailable
from gateway.tei.together import Shared
from gateway.tei.wire import Info, decode_info


class Gate:
    """A line to one server, and whether that server is the one expected.

    `info` is what the verified server said of itself, None before and after it was lost.
    """

    def __init__(
        self,
        line: Line,
        examiner: Examiner | None,
        on_info: Callable[[Info], None],
    ) -> None:
        self.info: Info | None = None
        self._line = line
        self._examiner = examiner
        self._on_info = on_info
        self._checked_connections = 0
        self._checking = Shared(self._check)

    async def ask(self) -> Info:
        """Ask `/info`, without believing it."""
        return decode_info((await self._line.call("info", "/info")).body)

    async def require(self) -> Info:
        """Return the verified server's info, checking it first where needed.

        Raises:
            UnsupportedServer: it does not meet the expectation.
            UpstreamError: it could not be asked; one attempt, shared by all who wait.
        """
        return self.info or await self.check()

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

        A connection opened since the last check may end at another server: then `/info` is asked
        again first.
        """
        try:
            answer = await self._line.call(operation, path, body, timeout_seconds=timeout_seconds)
        except BackendFailed:
            raise
        except UpstreamUnavailable:
            self.info = None
            raise
        if self._line.opened != self._checked_connections and await self.check() != info:
            raise unavailable(f"another server took over at {self._line.where}: asking again")
        return answer

    async def repeat(self, turn: int) -> Look | None:
        """Have the verified server repeat what it is known to answer; None where none is verified.

        Raises:
            UnsupportedServer: it answers otherwise now, and is no longer believed.
            UpstreamError: it could not be asked.
        """
        info = self.info
        if info is None or self._examiner is None:
            return None
        try:
            return await self._examiner.repeat(info, turn)
        except UnsupportedServer:
            self.info = None
            raise

    async def aclose(self) -> None:
        self._checking.cancel()

    async def _check(self) -> Info:
        info = await self.ask()
        if info != self.info:
            self.info = None
            if self._examiner is not None:
                await self._examiner.examine(info)
            self._on_info(info)
            self.info = info
        self._checked_connections = self._line.opened
        return info
