"""Nothing passes from a server that was not verified, or was exchanged behind its address."""

import asyncio
from collections.abc import Callable

from gateway.errors import UpstreamUnavailable
from gateway.tei.identity import PROBE, Expectation, require_probe, require_supported
from gateway.tei.line import Answer, Line
from gateway.tei.refusals import BackendFailed, unavailable
from gateway.tei.wire import (
    Info,
    decode_info,
    decode_openai,
    openai_body,
    text_json,
)


class Gate:
    """A line to one server, and whether that server is the one expected.

    `info` is what the verified server said of itself, None before and after it was lost; `up` says
    that it answered before and was not given up since.
    """

    def __init__(
        self, line: Line, expect: Expectation | None, on_info: Callable[[Info], None]
    ) -> None:
        self.info: Info | None = None
        self.up = False
        self._line = line
        self._expect = expect
        self._on_info = on_info
        self._checked_connections = 0
        self._checking: asyncio.Task[Info] | None = None

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

    async def check(self) -> Info:
        """Check the server again, as `require`; a check under way is joined."""
        task = self._checking
        if task is None:
            task = self._checking = asyncio.create_task(self._check())
            task.add_done_callback(self._checked)
        return await asyncio.shield(task)

    async def call(self, operation: str, path: str, body: bytes, info: Info) -> Answer:
        """POST to the server that said `info`; its answer is held back until that is sure.

        A connection opened since the last check may end at another server: then `/info` is asked
        again first.
        """
        try:
            answer = await self._line.call(operation, path, body)
        except BackendFailed:
            raise
        except UpstreamUnavailable:
            self.info = None
            raise
        if self._line.opened != self._checked_connections and await self.check() != info:
            raise unavailable(f"another server took over at {self._line.where}: asking again")
        return answer

    async def aclose(self) -> None:
        if self._checking is not None:
            self._checking.cancel()

    async def _check(self) -> Info:
        info = await self.ask()
        if info != self.info:
            self.info = None
            if self._expect is not None:
                await self._probe(info, self._expect)
            self._on_info(info)
            self.info = info
        self.up = True
        self._checked_connections = self._line.opened
        return info

    async def _probe(self, info: Info, expect: Expectation) -> None:
        where = self._line.where
        require_supported(where, info, expect)
        body = openai_body([text_json(PROBE, 0)])
        answer = await self._line.call("probe", "/v1/embeddings", body)
        rows, tokens = decode_openai(answer.body, 1)
        require_probe(where, rows.shape[1], tokens, expect)

    def _checked(self, task: asyncio.Task[Info]) -> None:
        self._checking = None
        if not task.cancelled():
            task.exception()  # told to those who wait; marked as seen if none is left
