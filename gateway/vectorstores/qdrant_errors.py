"""Failures of qdrant-client told in our words, by what they mean to the caller."""

import json
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


def translate(fault: BaseException, operation: str, name: str | None) -> GatewayError:
    """Return our error for a fault of `operation` on collection `name`."""
    if isinstance(fault, UnexpectedResponse):
        return _from_status(fault, operation, name)
    if isinstance(fault, ResponseHandlingException):
        return _from_transport(fault.source, operation)
    if isinstance(fault, grpc.RpcError):
        return _from_grpc(fault, operation, name)
    return _from_client(fault, operation, name)


def _from_client(fault: BaseException, operation: str, name: str | None) -> GatewayError:
    if isinstance(fault, QdrantException):
        wait = fault.retry_after_s if isinstance(fault, ResourceExhaustedResponse) else None
        return _error(UpstreamOverloaded, operation, f"rate limit: {fault}", wait)
    if isinstance(fault, TimeoutError):
        return _error(UpstreamTimeout, operation, "no answer in time", None)
    if name is not None and "not found" in str(fault):
        return CollectionNotFound(name)
    return _error(UpstreamRejected, operation, str(fault), None)


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


def _from_status(fault: UnexpectedResponse, operation: str, name: str | None) -> GatewayError:
    status = fault.status_code or 0
    if status == 404 and name is not None:
        return CollectionNotFound(name)
    kind = _STATUSES.get(status, UpstreamRejected)
    text = f"HTTP {status}: {_said(fault.content)}"
    if status in (401, 403):
        text += _KEY_HINT
    return _error(kind, operation, text, _seconds(fault.headers.get("retry-after")))


def _from_transport(source: Exception, operation: str) -> GatewayError:
    text = str(source) or type(source).__name__
    if isinstance(source, httpx.ConnectTimeout | httpx.PoolTimeout):
        return _error(UpstreamUnavailable, operation, f"no connection: {text}", 5)
    if isinstance(source, httpx.TimeoutException):
        return _error(UpstreamTimeout, operation, text, None)
    if isinstance(source, httpx.TransportError):
        return _error(UpstreamUnavailable, operation, f"no connection: {text}", 5)
    if isinstance(source, ValidationError):
        text = "it answered in a form that this client does not know; is it a Qdrant server?"
    return _error(UpstreamRejected, operation, text, None)


def _from_grpc(fault: grpc.RpcError, operation: str, name: str | None) -> GatewayError:
    call = cast("Any", fault)  # every error of a finished call is a `grpc.Call` as well
    code: grpc.StatusCode = call.code()
    if code is grpc.StatusCode.NOT_FOUND and name is not None:
        return CollectionNotFound(name)
    text = f"gRPC {code.name}: {str(call.details() or '')[:_MOST_TEXT]}"
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        text += _KEY_HINT
    wait = 5.0 if code is grpc.StatusCode.UNAVAILABLE else None
    return _error(_CODES.get(code, UpstreamRejected), operation, text, wait)


def _error(
    kind: type[UpstreamError], operation: str, text: str, wait: float | None
) -> UpstreamError:
    return kind(
        f"Qdrant failed at {operation!r}: {text}", service=SERVICE, retry_after_seconds=wait
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
