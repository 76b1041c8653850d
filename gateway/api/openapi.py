"""The OpenAPI document, from the routes, their `Operation`s and the models of `schemas` alone.

Built here because the framework's own generator drops what pydantic knows (item lengths, refused
extra fields) and describes error bodies that are never sent.
"""

import inspect
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final, cast

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from gateway import __version__
from gateway.api.exceptions import PROBLEM_JSON
from gateway.api.guards import PUBLIC
from gateway.api.operations import DOC, REFS, SPACE_HEADER, Content, Operation, ref
from gateway.schemas.filters import FILTER_SCHEMA
from gateway.schemas.openai import OpenAIError
from gateway.schemas.problems import Problem

ERRORS: Final = {
    400: "The request cannot be served as it is; `field` and `index` say where",
    401: "No API key, or one that is not accepted",
    404: "No such thing",
    409: "The stored state forbids it; nothing was changed",
    408: "The body stopped coming",
    413: "The body is over the limit",
    415: "Not a content type of this route",
    422: "Every document failed; `report` says why",
    500: "The gateway failed",
    502: "A service behind the gateway failed or refused",
    503: "A service behind the gateway is down or full; see `retry-after`",
    504: "Not done in time",
    507: "A service behind the gateway has no room left",
}
_SERVED_SPACE: Final = {
    "description": "Of a `space-mismatch`: fingerprint of the space that this gateway serves",
    "schema": {"type": "string"},
}
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")

Json = dict[str, Any]
Route = tuple[str, str, HTTPRouteHandler, Operation]


def describe(app: Litestar) -> Json:
    """Return the OpenAPI 3.1 document of an application, the same for the same routes."""
    paths: Json = {}
    seen: set[str] = set()
    for path, method, handler, operation in routes(app):
        shown = _operation(path, handler, operation)
        while shown["operationId"] in seen:
            shown["operationId"] += "Alias"
        seen.add(shown["operationId"])
        paths.setdefault(path, {})[method.lower()] = shown
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tei-rag-gateway",
            "version": __version__,
            "description": "Text in, provably correct embedding vectors and search hits out. "
            "Errors are problem+json (RFC 9457); under `/v1` they have OpenAI's shape. Every "
            "answer carries `x-request-id`; a usable one that is sent is kept.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(app),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def routes(app: Litestar) -> Iterator[Route]:
    """Every documented route, by path and method."""
    found: list[Route] = []
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            operation = cast("Operation | None", handler.opt.get(DOC))
            if operation is None:
                continue
            path = _PARAMETER.sub(r"{\1}", route.path)
            found += [(path, method, handler, operation) for method in handler.http_methods]
    return iter(sorted(found, key=lambda item: item[:2]))


def _operation(path: str, handler: HTTPRouteHandler, operation: Operation) -> Json:
    summary, _, text = (inspect.getdoc(handler.fn) or operation.id).partition("\n")
    public = bool(handler.opt.get(PUBLIC))
    shown: Json = {
        "operationId": operation.id,
        "tags": sorted(handler.resolve_tags() if hasattr(handler, "resolve_tags") else []),
        "summary": summary.strip(),
        "responses": _responses(path, operation, public=public),
        "security": [{}] if public else [{}, {"bearer": []}, {"key": []}],
    }
    if text.strip():
        shown["description"] = text.strip()
    if parameters := _parameters(path, operation):
        shown["parameters"] = parameters
    if operation.body:
        shown["requestBody"] = {
            "required": True,
            "content": _contents(operation.body),
        }
    return shown


def _parameters(path: str, operation: Operation) -> list[Json]:
    in_path: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(path)
    ]
    in_query = [{"name": n, "in": "query", **facts} for n, facts in operation.query.items()]
    return in_path + in_query


def _responses(path: str, operation: Operation, *, public: bool) -> Json:
    headers: Json = {"x-request-id": {"schema": {"type": "string"}}}
    if operation.space_header:
        headers[SPACE_HEADER] = {
            "description": "Fingerprint of the vector space",
            "schema": {"type": "string"},
        }
    found: Json = {}
    for status, contents in operation.replies.items():
        found[str(status)] = {"description": _said(status), "headers": headers}
        if contents:
            found[str(status)]["content"] = _contents(contents)
    error = OpenAIError if path.startswith("/v1/") else Problem
    media = "application/json" if error is OpenAIError else PROBLEM_JSON
    for status in sorted({*operation.errors, 500, *(() if public else (401,))}):
        schema = ref(error)
        found[str(status)] = {"description": ERRORS[status], "content": {media: {"schema": schema}}}
        if status == HTTPStatus.CONFLICT:
            found[str(status)]["headers"] = {SPACE_HEADER: _SERVED_SPACE}
    return found


def _said(status: int) -> str:
    return {201: "Made", 204: "Done", 503: "Not ready"}.get(status, "Served")


def _contents(contents: tuple[Content, ...]) -> Json:
    shown: Json = {}
    for content in contents:
        if content.model is not None:
            shown[content.media_type] = {
                "schema": {"$ref": REFS.format(model=content.model.__name__)}
            }
        else:
            shown[content.media_type] = {"schema": dict(content.schema or {"type": "string"})}
    return shown


def _schemas(app: Litestar) -> Json:
    wanted: dict[type[BaseModel], JsonSchemaMode] = {
        Problem: "serialization",
        OpenAIError: "serialization",
    }
    for _, _, _, operation in routes(app):
        for content in operation.body:
            wanted.update(dict.fromkeys(content.models, "validation"))
        for contents in operation.replies.values():
            for content in contents:
                wanted.update(dict.fromkeys(content.models, "serialization"))
    pairs = sorted(wanted.items(), key=lambda pair: pair[0].__name__)
    _, document = models_json_schema(pairs, ref_template=REFS)
    found: Json = {**document["$defs"], "Filter": FILTER_SCHEMA}
    return dict(sorted(found.items()))
