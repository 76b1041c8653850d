"""Errors as answers: one table of statuses, one reading of an exception, one shape (RFC 9457)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute
from http import HTTPStatus
from traceback import extract_tb
from typing import Any, Final, cast

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from gateway.api.conversation import request_id_of
from gateway.api.operations import SPACE_HEADER
from gateway.errors import (
    ConfigurationError,
    Conflict,
    DegenerateVector,
    GatewayError,
    InvalidRequest,
    NotFound,
    NothingIngested,
    PayloadTooLarge,
    RequestTimeout,
    SpaceMismatch,
    StoreLocked,
    Unauthorized,
    UnknownModel,
    UnsupportedMediaType,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamQuota,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.ingest.report import IngestAborted
from gateway.schemas.documents import IngestResponse
from gateway.schemas.problems import Problem

STATUS: Final[Mapping[type[GatewayError], int]] = {
    InvalidRequest: 400,
    UnknownModel: 404,
    PayloadTooLarge: 413,
    RequestTimeout: 408,
    UnsupportedMediaType: 415,
    NothingIngested: 422,
    Unauthorized: 401,
    NotFound: 404,
    Conflict: 409,
    ConfigurationError: 500,
    StoreLocked: 503,
    UpstreamError: 502,
    UpstreamOverloaded: 503,
    UpstreamUnavailable: 503,
    UpstreamTimeout: 504,
    UpstreamRejected: 502,
    UpstreamQuota: 507,
    DegenerateVector: 502,
}
"""HTTP status of every error, by its class or the nearest listed one above it."""

TYPE_PREFIX: Final = "urn:tei-rag-gateway:problem:"
PROBLEM_JSON: Final = "application/problem+json"
RETRY_SECONDS: Final = 2
"""`Retry-After` of a 503 whose cause named no time."""

_ROUTING: Final[Mapping[int, tuple[str, str, str]]] = {
    404: ("not-found", "No such route", "nothing is served here; see /docs for the routes"),
    405: ("method-not-allowed", "Not a method of this route", "see the 'allow' header and /docs"),
    413: ("payload-too-large", PayloadTooLarge.title, "send less in one request"),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as a caller may see it."""

    status: int
    slug: str
    title: str
    detail: str
    field: str | None = None
    index: int | None = None
    service: str | None = None
    stored_space: str | None = None
    offered_space: str | None = None
    headers: dict[str, str] = attribute(default_factory=dict[str, str])


def status_of(kind: type[GatewayError]) -> int:
    """Status of an error class; 500 when neither it nor a class above it is in the table."""
    return next((STATUS[c] for c in kind.__mro__ if c in STATUS), 500)


def read(exc: BaseException) -> Failure:
    """Turn any exception into what the caller may know; unexpected ones keep their secrets."""
    if isinstance(exc, BaseExceptionGroup):
        exc = _first(cast("BaseExceptionGroup[BaseException]", exc))
    if isinstance(exc, GatewayError):
        return _ours(exc)
    if isinstance(exc, HTTPException) and exc.status_code < 500:
        return _routing(exc)
    detail = "the gateway failed unexpectedly; its log has the cause under this request id"
    return Failure(500, GatewayError.slug, GatewayError.title, detail)


def as_problem(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """Answer with problem+json (an exception handler)."""
    return problem(request, exc)


def problem(
    request: Request[Any, Any, Any], exc: Exception, report: IngestResponse | None = None
) -> Response[bytes]:
    """Answer with problem+json, and with the report of an ingest that failed or was stopped."""
    failure = read(exc)
    note(exc, failure)
    return Response(
        body_of(request, failure, report).model_dump_json(exclude_none=True).encode(),
        status_code=failure.status,
        media_type=PROBLEM_JSON,
        headers=failure.headers,
    )


def body_of(
    request: Request[Any, Any, Any], failure: Failure, report: IngestResponse | None = None
) -> Problem:
    """Return the problem details of a failure."""
    return Problem(
        type=TYPE_PREFIX + failure.slug,
        title=failure.title,
        status=failure.status,
        detail=failure.detail,
        instance=request.scope["path"],
        request_id=request_id_of(request.scope),
        field=failure.field,
        index=failure.index,
        service=failure.service,
        stored_space=failure.stored_space,
        offered_space=failure.offered_space,
        report=report,
    )


def note(exc: BaseException, failure: Failure) -> None:
    """Log what the gateway itself did wrong: the place, not the message, which may hold texts."""
    if failure.status < 500 or isinstance(exc, UpstreamError):
        return
    structlog.get_logger("gateway.api").error(
        "request failed",
        error=failure.slug,
        kind=type(exc).__name__,
        where=[f"{at.filename}:{at.lineno} {at.name}" for at in extract_tb(exc.__traceback__)[-3:]],
    )


def _ours(exc: GatewayError) -> Failure:
    status = status_of(type(exc.cause if isinstance(exc, IngestAborted) else exc))
    return Failure(
        status=status,
        slug=exc.slug,
        title=exc.title,
        detail=_printable(str(exc)),
        field=_printable(exc.field) if isinstance(exc, InvalidRequest) and exc.field else None,
        index=exc.index if isinstance(exc, InvalidRequest | DegenerateVector) else None,
        service=exc.service if isinstance(exc, UpstreamError) else None,
        stored_space=exc.stored if isinstance(exc, SpaceMismatch) else None,
        offered_space=exc.offered if isinstance(exc, SpaceMismatch) else None,
        headers=_headers(exc, status),
    )


def _headers(exc: GatewayError, status: int) -> dict[str, str]:
    if status == 401:
        return {"www-authenticate": "Bearer"}
    if isinstance(exc, SpaceMismatch):
        return {SPACE_HEADER: exc.offered}
    if status != 503:
        return {}
    seconds = exc.retry_after_seconds if isinstance(exc, UpstreamError) else None
    return {"retry-after": str(RETRY_SECONDS if seconds is None else max(1, math.ceil(seconds)))}


def _routing(exc: HTTPException) -> Failure:
    status = exc.status_code
    if isinstance(exc, ValidationException):
        return _parameters(exc)
    slug, title, detail = _ROUTING.get(
        status, ("invalid-request", HTTPStatus(status).phrase, _printable(str(exc.detail)))
    )
    return Failure(status, slug, title, detail, headers=dict(exc.headers or {}))


def _parameters(exc: ValidationException) -> Failure:
    """Name the query or path parameter that is wrong."""
    extra = cast("list[dict[str, str]]", exc.extra or [])
    said = [f"{one.get('key', 'the request')}: {one.get('message')}" for one in extra]
    field = extra[0].get("key") if extra else None
    return Failure(400, "invalid-request", InvalidRequest.title, "; ".join(said), field=field)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of ours in a task group's failures, or the first of any kind."""
    found = group.subgroup(GatewayError) or group
    inner: BaseException = found
    while isinstance(inner, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", inner).exceptions[0]
    return inner


def _printable(text: str) -> str:
    """Replace what UTF-8 cannot carry: a message may quote the caller's lone surrogate."""
    return text.encode("utf-8", "backslashreplace").decode()
