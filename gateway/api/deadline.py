"""The deadline of a request, kept inside Litestar so that its error gets the route's own shape."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
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
        async with time_limit(server):
            await self._app(scope, receive, send)


@asynccontextmanager
async def time_limit(server: ServerSettings) -> AsyncGenerator[None, None]:
    """Raise `UpstreamTimeout` when the block takes longer than the operator's deadline."""
    seconds = server.request_timeout_seconds
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError as exc:
        if not limit.expired():
            raise
        raise UpstreamTimeout(
            f"the request was not done within {seconds:g} s; send less in one request, or raise "
            "server.request_timeout_seconds",
            service="gateway",
        ) from exc
