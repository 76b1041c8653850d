"""Errors in OpenAI's envelope, for everything below `/v1`, be it a route or not."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from litestar import Request, Response

from gateway.api.exceptions import Failure, as_problem, note, read
from gateway.schemas.openai import OpenAIError, OpenAIErrorBody

CODES: Final[Mapping[str, str]] = {
    "unknown-model": "model_not_found",
    "unauthorized": "invalid_api_key",
}
"""OpenAI's own words where it has them; else our slug in snake case."""

PARAMS: Final[Mapping[str, str]] = {"size": "dimensions", "text": "input", "title": "titles"}
"""Our fields by the names they have on the wire."""


def by_path(request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """Answer in the shape that callers of a path expect, where no route was found either."""
    below = f"{request.scope['path']}/".startswith("/v1/")
    return as_openai(request, exc) if below else as_problem(request, exc)


def as_openai(_request: Request[Any, Any, Any], exc: Exception) -> Response[bytes]:
    """Answer with `{"error": {message, type, param, code}}`."""
    failure = read(exc)
    note(exc, failure)
    body = OpenAIError(
        error=OpenAIErrorBody(
            message=failure.detail,
            type=_type(failure),
            param=_param(failure),
            code=CODES.get(failure.slug, failure.slug.replace("-", "_")),
        )
    )
    return Response(
        body.model_dump_json().encode(),
        status_code=failure.status,
        media_type="application/json",
        headers=failure.headers,
    )


def _type(failure: Failure) -> str:
    if failure.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return "invalid_request_error"
    return "upstream_error" if failure.service else "server_error"


def _param(failure: Failure) -> str | None:
    """Name the field in OpenAI's words; an index is a place in the list."""
    name = PARAMS.get(failure.field or "", failure.field)
    if failure.index is None:
        return name
    return f"{name or 'input'}[{failure.index}]"
