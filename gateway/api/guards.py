"""Who may call. With no keys set the gateway is open (and binds to loopback only)."""

import hmac
from collections.abc import Sequence
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.types import ASGIApp, Receive, Scope, Send

from gateway.errors import Unauthorized
from gateway.settings import Settings

PUBLIC: Final = "public"
"""Handlers with this `opt` answer without a key: probes, and the API's own reference pages."""

Connection = ASGIConnection[Any, Any, Any, Any]


class RequireKey:
    """Lets a request pass that carries one of the keys, where keys are set.

    `/metrics` and `/info` need the key too: metrics tell how much is asked of what. It stands around
    every route as a middleware: for a guard of Litestar the route handler is copied at every request,
    which costs more than all the rest of the check.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not scope["route_handler"].opt.get(PUBLIC):
            require_key(ASGIConnection(scope, receive, send))
        await self._app(scope, receive, send)


def require_key(connection: Connection) -> None:
    """Refuse a request without an accepted key, where keys are set.

    Raises:
        Unauthorized: no key, or one that is not accepted.
    """
    if is_authorized(connection):
        return
    given = offered_key(connection)
    what = "no API key was given" if given is None else "the API key is not one of the accepted"
    raise Unauthorized(f"{what}; send 'Authorization: Bearer <key>' or 'x-api-key: <key>'")


def is_authorized(connection: Connection) -> bool:
    """Tell whether no key is needed, or an accepted one was given. Takes equal time for all keys."""
    settings: Settings = connection.app.state.settings
    keys = settings.server.api_keys
    if not keys:
        return True
    given = offered_key(connection)
    return given is not None and accepts([k.get_secret_value().encode() for k in keys], given)


def accepts(keys: Sequence[bytes], given: bytes) -> bool:
    """Compare with every key, in constant time for each, without stopping at a match."""
    matches = [hmac.compare_digest(key, given) for key in keys]
    return any(matches)


def offered_key(connection: Connection) -> bytes | None:
    """Return the caller's key: a bearer token, else `x-api-key`."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip().encode("latin-1")
    key = connection.headers.get("x-api-key", "")
    return key.encode("latin-1") or None
