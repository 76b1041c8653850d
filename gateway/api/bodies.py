"""Bodies in and out: read whole under a limit, checked against their model, written as bytes."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Receive, Scope, Send
from pydantic import BaseModel, ValidationError

from gateway.errors import InvalidRequest, MalformedJSON, PayloadTooLarge, UnsupportedMediaType
from gateway.ingest.records import half_of_pair

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
SHOWN: Final = 5
"""Most mistakes of one body that an answer lists."""

_FORMS: Final = frozenset({"bool", "int", "float", "str"})

AnyRequest = Request[Any, Any, Any]
M = TypeVar("M", bound=BaseModel)


async def read_json(request: AnyRequest, model: type[M]) -> M:
    """Read a JSON body as `model`.

    Raises:
        UnsupportedMediaType, PayloadTooLarge, MalformedJSON: not a JSON body of usable size.
        InvalidRequest: JSON of another shape; `field` is the first place that is wrong.
    """
    require_type(request, JSON)
    return checked(await read_body(request), model)


def checked(body: bytes, model: type[M], *, whole: str = "the body") -> M:
    """Read JSON as `model`; `whole` is what it is called where no field of it can be named.

    Raises:
        MalformedJSON: not JSON.
        InvalidRequest: JSON of another shape; `field` is the first place that is wrong.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        raise _mistakes(exc, body, whole) from exc


async def read_body(request: AnyRequest) -> bytes:
    """Read a whole body of at most `server.max_body_bytes`, announced or chunked."""
    limit: int = request.app.state.settings.server.max_body_bytes
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > limit:
                raise too_large(limit)
    except HTTPException as exc:
        raise too_large(limit) if exc.status_code == 413 else exc from exc
    body = b"".join(parts)
    if not body:
        raise MalformedJSON("the body is empty; send a JSON body")
    return body


def too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"the body is over {limit} bytes; send less in one request, or documents as a stream of "
        f"{NDJSON}"
    )


def content_type(request: AnyRequest) -> str:
    """Return the media type of the body without parameters, lower case; "" when not said."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_type(request: AnyRequest, *allowed: str) -> str:
    """Return the body's media type, JSON when it is not said.

    Raises:
        UnsupportedMediaType: it is none of `allowed`.
    """
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedMediaType(
            f"content encoding {encoding!r} is not read here; send the body uncompressed",
            field="content-encoding",
        )
    found = content_type(request) or JSON
    if found not in allowed:
        raise UnsupportedMediaType(
            f"content type {found!r} is not read here; send 'content-type: {' or '.join(allowed)}'",
            field="content-type",
        )
    return found


def answer(
    model: BaseModel,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    exclude_none: bool = False,
) -> Response[bytes]:
    """Answer with a model as JSON."""
    content = model.model_dump_json(exclude_none=exclude_none).encode()
    return Response(content, status_code=status, media_type=JSON, headers=headers)


class Written:
    """An answer as it goes out: nothing is left to be rendered, merged or looked up."""

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Take a JSON body, and more headers."""
        self._body = body
        self._headers = [
            (b"content-type", JSON.encode()),
            (b"content-length", b"%d" % len(body)),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ]

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})


def json_path(loc: tuple[int | str, ...]) -> str:
    """Write a place in JSON: `("inputs", 0, "text")` is `inputs[0].text`."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def malformed(body: bytes, what: str) -> MalformedJSON:
    """Say why a body is no JSON; half of a surrogate pair gets its own words and remedy."""
    half = half_of_pair(body, what)
    return MalformedJSON(half or f"{what}; send one JSON document in UTF-8")


def _mistakes(exc: ValidationError, body: bytes, whole: str) -> InvalidRequest:
    errors = exc.errors(include_url=False, include_input=False, include_context=False)
    if errors[0]["type"] == "json_invalid":
        return malformed(body, errors[0]["msg"])
    places = [json_path(_named(error["loc"])) for error in errors]
    kept = [
        (place, _words(error["type"], error["msg"]))
        for place, error in zip(places, errors, strict=True)
        if not any(other.startswith(f"{place}.") for other in places)
    ]
    said = [f"{place or whole}: {words}" for place, words in kept]
    more = f" (and {len(said) - SHOWN} more)" if len(said) > SHOWN else ""
    return InvalidRequest("; ".join(said[:SHOWN]) + more, field=kept[0][0] or None)


def _named(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Leave out of a place which form of several was tried: its type's name is not in the JSON."""
    return tuple(
        part for part in loc if isinstance(part, int) or not (part in _FORMS or part[:1].isupper())
    )


def _words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "no such field; remove it, or see /docs for the known ones"
    message = message.removeprefix("Value error, ").replace(" after validation", "")
    return message[0].lower() + message[1:]
