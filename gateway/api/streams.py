"""A long body, read piece by piece, that ends early rather than fail: what came is kept."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Final, cast

from litestar.types import HTTPRequestEvent

from gateway.api.bodies import AnyRequest
from gateway.api.drain import Drain
from gateway.errors import (
    GatewayError,
    InvalidRequest,
    PayloadTooLarge,
    RequestTimeout,
    UpstreamUnavailable,
)
from gateway.settings import ServerSettings

POLL_SECONDS: Final = 0.25


class StreamedBody:
    """Pieces of a request body. After the last one `cut` says why it ended before its end, if so.

    It ends early when it is over `server.max_stream_bytes`, when nothing came for
    `server.request_timeout_seconds`, when the server stops, and when the caller went away.
    """

    def __init__(self, request: AnyRequest) -> None:
        self.cut: GatewayError | None = None
        self._request = request
        self._server: ServerSettings = request.app.state.settings.server
        self._drain: Drain = request.app.state.drain
        self._lines = 0

    def require_size(self) -> None:
        """Refuse a body that is announced to be over the limit, before it is read.

        Raises:
            PayloadTooLarge.
        """
        if (self._request.content_length or 0) > self._server.max_stream_bytes:
            raise self._over("send it in parts, one after the other; nothing of it was stored")

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it comes."""
        room = self._server.max_stream_bytes
        more = True
        while more:
            event = await self._next()
            if event is None:
                return
            data, more = event["body"], event["more_body"]
            fits = len(data) <= room
            room -= len(data)
            if not fits:
                data, more = data[: data.rfind(b"\n", 0, len(data) + room) + 1], False
            self._lines += data.count(b"\n")
            yield data
            if not fits:
                self.cut = self._over(self._again())

    async def _next(self) -> HTTPRequestEvent | None:
        """Wait for the next piece; None when there will be none."""
        waiting = asyncio.ensure_future(self._request.receive())
        started = time.monotonic()
        try:
            while not waiting.done():
                self.cut = self._reason(time.monotonic() - started)
                if self.cut is not None:
                    return None
                await asyncio.wait({waiting}, timeout=POLL_SECONDS)
        finally:
            waiting.cancel()
        event = waiting.result()
        if event["type"] == "http.disconnect":
            self.cut = InvalidRequest("the caller went away before the end of the stream")
            return None
        return cast("HTTPRequestEvent", {"body": b"", "more_body": False, **event})

    def _reason(self, idle_seconds: float) -> GatewayError | None:
        """Say why to stop waiting, if there is a reason."""
        again = self._again()
        if self._drain.seconds_left() == 0:
            return UpstreamUnavailable(f"the gateway is stopping; {again}", service="gateway")
        limit = self._server.request_timeout_seconds
        if idle_seconds > limit:
            return RequestTimeout(f"nothing came for {limit:g} s; {again}")
        return None

    def _over(self, remedy: str) -> PayloadTooLarge:
        limit = self._server.max_stream_bytes
        return PayloadTooLarge(f"the stream is over {limit} bytes; {remedy}")

    def _again(self) -> str:
        return f"send it again from line {self._lines + 1}, what came before is in the report"
