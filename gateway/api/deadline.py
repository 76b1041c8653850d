"""The deadline of a request, kept inside Litestar so that its error gets the route's own shape."""

import asyncio
from types import TracebackType
from typing import Final

from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.errors import UpstreamTimeout
from gateway.settings import ServerSettings

STREAMED: Final = "streamed"
"""Handlers with this `opt` keep their own deadline: a stream lasts as long as it moves."""


class Deadline:
    """Ends a request that is not answered in time; what it had stored stays stored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["route_handler"].opt.get(STREAMED):
            await self._app(scope, receive, send)
            return
        server: ServerSettings = scope["litestar_app"].state.settings.server
        async with TimeLimit(server):
            await self._app(scope, receive, send)


class TimeLimit:
    """Raises `UpstreamTimeout` when the block takes longer than the operator's deadline."""

    def __init__(self, server: ServerSettings) -> None:
        self._seconds: Final = server.request_timeout_seconds
        self._limit: Final = asyncio.timeout(self._seconds)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._limit.__aexit__(kind, error, trace)
        except TimeoutError as exc:
            raise UpstreamTimeout(
                f"the request was not done within {self._seconds:g} s; send less in one request, or "
                "raise server.request_timeout_seconds",
                service="gateway",
            ) from exc
