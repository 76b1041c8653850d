"""Around every request: its id, its time, one log line without bodies, its metrics. Pure ASGI."""

import re
import secrets
import time
from typing import Any, Final, cast

import structlog
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from gateway.observability.metrics import Metrics

REQUEST_ID: Final = "x-request-id"
UNMATCHED: Final = "unmatched"
PROBES: Final = frozenset({"/livez", "/readyz", "/health", "/metrics"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_HEADER: Final = REQUEST_ID.encode()
_USABLE: Final = re.compile(rb"[A-Za-z0-9._:+/=-]{1,128}")
_KEY: Final = "gateway_request_id"
_LOG: Final = structlog.get_logger("gateway.access")


def request_id_of(scope: Any) -> str:
    """Return the id of the request being served; empty outside of `Conversation`."""
    return cast("str", scope["state"].get(_KEY, ""))


class Conversation:
    """Gives every request an id (the caller's where usable), and says how it ended.

    It wraps the whole application, so that unrouted paths are counted too. `route` in logs and
    metrics is the path template: paths hold document ids.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        scope["state"][_KEY] = request_id
        header = (_HEADER, request_id.encode())
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            await send(message)

        metrics: Metrics = scope["litestar_app"].state.runtime.metrics
        metrics.in_flight.inc()
        started = time.perf_counter()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - started
            metrics.in_flight.dec()
            route = cast("dict[str, Any]", scope).get("path_template") or UNMATCHED
            method = scope["method"] if scope["method"] in METHODS else "other"
            metrics.served(method, route, status, seconds)
            _log(method, route, status, seconds)
            structlog.contextvars.unbind_contextvars("request_id")


def _request_id(scope: HTTPScope) -> str:
    for name, value in scope["headers"]:
        if name == _HEADER:
            return value.decode("ascii") if _USABLE.fullmatch(value) else secrets.token_hex(16)
    return secrets.token_hex(16)


def _log(method: str, route: str, status: int, seconds: float) -> None:
    """Write the access line; probes are for the debug level. Status 0: the caller went away."""
    write = _LOG.debug if route in PROBES else _LOG.info
    write("request", method=method, route=route, status=status, seconds=round(seconds, 6))
