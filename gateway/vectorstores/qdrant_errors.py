"""Failures of qdrant-client told in our words, by what they mean to the caller."""

import json
from dataclasses import dataclass
from typing import Any, Final, cast

import grpc
import httpx
from pydantic import ValidationError
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from gateway.errors import (
    CollectionNotFound,
    GatewayError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamQuota,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)

SERVICE: Final = "qdrant"
FAULTS: Final = (
    UnexpectedResponse,
    ResponseHandlingException,
    QdrantException,
    grpc.RpcError,
    TimeoutError,
    ValueError,
)
"""What qdrant-client raises; `ValueError` is its in-memory mode's only word."""

_MOST_TEXT: Final = 300
_KEY_HINT: Final = "; check the Qdrant API key"


_REACH_HINT: Final = "; is it up? check qdrant.url (GATEWAY_QDRANT__URL)"
_GRPC_HINT: Final = f"{_REACH_HINT} and qdrant.grpc_port (GATEWAY_QDRANT__GRPC_PORT)"


@dataclass(frozen=True, slots=True)
class Asked:
    """What failed: `operation` on collection `name` of the server at `address` (for messages)."""

    operation: str
    name: str | None
    address: str = ""


def shown_address(url: str) -> str:
    """Return a URL as messages may show it: without user, password, query and fragment."""
    scheme, mark, rest = url.rpartition("://")
    plain = rest.partition("?")[0].partition("#")[0].rpartition("@")[2]
    return f"{scheme}{mark}{plain}".rstrip("/")


def translate(fault: BaseException, asked: Asked) -> GatewayError:
    """Return our error for a fault of what was asked."""
    if isinstance(fault, UnexpectedResponse):
        return _from_status(fault, asked)
    if isinstance(fault, ResponseHandlingException):
        return _from_transport(fault.source, asked)
    if isinstance(fault, grpc.RpcError):
        return _from_grpc(fault, asked)
    return _from_client(fault, asked)


def _from_client(fault: BaseException, asked: Asked) -> GatewayError:
    if isinstance(fault, QdrantException):
        wait = fault.retry_after_s if isinstance(fault, ResourceExhaustedResponse) else None
        return _error(UpstreamOverloaded, asked, f"rate limit: {fault}", wait)
    if isinstance(fault, TimeoutError):
        return _error(UpstreamTimeout, asked, f"no answer in time{_REACH_HINT}", None)
    if asked.name is not None and "not found" in str(fault):
        return CollectionNotFound(asked.name)
    return _error(UpstreamRejected, asked, str(fault), None)


_STATUSES: Final[dict[int, type[UpstreamError]]] = {
    408: UpstreamTimeout,
    429: UpstreamOverloaded,
    500: UpstreamError,
    502: UpstreamUnavailable,
    503: UpstreamUnavailable,
    504: UpstreamTimeout,
    507: UpstreamQuota,
}

_CODES: Final[dict[grpc.StatusCode, type[UpstreamError]]] = {
    grpc.StatusCode.UNAVAILABLE: UpstreamUnavailable,
    grpc.StatusCode.CANCELLED: UpstreamUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: UpstreamTimeout,
    grpc.StatusCode.RESOURCE_EXHAUSTED: UpstreamOverloaded,
    grpc.StatusCode.INTERNAL: UpstreamError,
    grpc.StatusCode.UNKNOWN: UpstreamError,
}


def _from_status(fault: UnexpectedResponse, asked: Asked) -> GatewayError:
    status = fault.status_code or 0
    if status == 404 and asked.name is not None:
        return CollectionNotFound(asked.name)
    kind = _STATUSES.get(status, UpstreamRejected)
    text = f"HTTP {status}: {_said(fault.content)}"
    if status in (401, 403):
        text += _KEY_HINT
    return _error(kind, asked, text, _seconds(fault.headers.get("retry-after")))


def _from_transport(source: Exception, asked: Asked) -> GatewayError:
    text = str(source) or type(source).__name__
    if isinstance(source, httpx.TimeoutException) and not isinstance(
        source, httpx.ConnectTimeout | httpx.PoolTimeout
    ):
        return _error(UpstreamTimeout, asked, f"{text}{_REACH_HINT}", None)
    if isinstance(source, httpx.TransportError):
        return _error(UpstreamUnavailable, asked, f"no connection: {text}{_REACH_HINT}", 5)
    if isinstance(source, ValidationError):
        text = (
            "it answered in a form that this client does not know; is it a Qdrant server? "
            "check qdrant.url (GATEWAY_QDRANT__URL)"
        )
    return _error(UpstreamRejected, asked, text, None)


def _from_grpc(fault: grpc.RpcError, asked: Asked) -> GatewayError:
    call = cast("Any", fault)  # every error of a finished call is a `grpc.Call` as well
    code: grpc.StatusCode = call.code()
    if code is grpc.StatusCode.NOT_FOUND and asked.name is not None:
        return CollectionNotFound(asked.name)
    text = f"gRPC {code.name}: {str(call.details() or '')[:_MOST_TEXT]}"
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        text += _KEY_HINT
    wait = None
    if code is grpc.StatusCode.UNAVAILABLE:
        text, wait = f"{text}{_GRPC_HINT}", 5.0
    return _error(_CODES.get(code, UpstreamRejected), asked, text, wait)


def _error(kind: type[UpstreamError], asked: Asked, text: str, wait: float | None) -> UpstreamError:
    server = f"Qdrant at {asked.address}" if asked.address else "Qdrant"
    return kind(
        f"{server} failed at {asked.operation!r}: {text}", service=SERVICE, retry_after_seconds=wait
    )


def _said(content: bytes) -> str:
    """Return the server's own words; 401 and 403 come as plain text."""
    try:
        text = str(json.loads(content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        text = content.decode("utf-8", "replace")
    return text[:_MOST_TEXT]


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isdecimal() else None
