"""Who may call. With no keys set the gateway is open (and binds to loopback only)."""

import hmac
from collections.abc import Sequence
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from gateway.errors import Unauthorized
from gateway.settings import Settings

PUBLIC: Final = "public"
"""Handlers with this `opt` answer without a key: probes, and the API's own reference pages."""

Connection = ASGIConnection[Any, Any, Any, Any]


async def require_key(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let a request pass that carries one of the keys, where keys are set.

    Async only because a plain function would be sent to a thread for every request.
    `/metrics` and `/info` need the key too: metrics tell how much is asked of what.

    Raises:
        Unauthorized: no key, or one that is not accepted.
    """
    if handler.opt.get(PUBLIC) or is_authorized(connection):
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
