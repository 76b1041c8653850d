"""Bodies of requests, read as axum and serde read them: unknown fields ignored, refusals in text."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, cast

import msgspec

from gateway.modelserver.replies import Reply

Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
RawInput: TypeAlias = str | list[str | Id | list[Id]]
Input: TypeAlias = str | Sequence[int]
"""One input: a text, or the ids of its tokens."""
Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]

T = TypeVar("T")


class Embed(msgspec.Struct, frozen=True):
    inputs: RawInput
    truncate: bool | None = None
    truncation_direction: str = "Right"
    prompt_name: str | None = None
    normalize: bool = True
    dimensions: Size | None = None


class OpenAI(msgspec.Struct, frozen=True):
    input: RawInput
    model: str | None = None
    user: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Size | None = None


class Sentences(msgspec.Struct, frozen=True):
    source_sentence: str
    sentences: list[str]


class Parameters(msgspec.Struct, frozen=True):
    truncate: bool | None = None
    truncation_direction: str = "Right"
    prompt_name: str | None = None


class Similarity(msgspec.Struct, frozen=True):
    inputs: Sentences
    parameters: Parameters | None = None


class Rerank(msgspec.Struct, frozen=True):
    query: str
    texts: list[str]
    truncate: bool | None = None
    truncation_direction: str = "Right"
    raw_scores: bool = False
    return_text: bool = False


class Predict(msgspec.Struct, frozen=True):
    inputs: str | list[str | list[str]]
    truncate: bool | None = None
    truncation_direction: str = "Right"
    raw_scores: bool = False


class Tokenize(msgspec.Struct, frozen=True):
    inputs: str | list[str]
    add_special_tokens: bool = True
    prompt_name: str | None = None


class Decode(msgspec.Struct, frozen=True):
    ids: list[Id | list[Id]]
    skip_special_tokens: bool = True


class Vertex(msgspec.Struct, frozen=True):
    instances: list[Any]


class Rejection(Exception):
    """A request that is refused before TEI's own code sees it: a plain text, or nothing."""

    def __init__(self, status: int, text: str = "", *headers: tuple[str, str]) -> None:
        super().__init__(text)
        kind = "text/plain; charset=utf-8" if text else None
        self.reply = Reply(status, text.encode(), kind, headers)


def read(body: bytes, content_type: str, limit: int, into: type[T]) -> T:
    """Read a body.

    Raises:
        Rejection: 415, 413, 400 (no JSON, or JSON that is no UTF-8) or 422 (another shape).
    """
    if not _is_json(content_type):
        raise Rejection(415, "Expected request with `Content-Type: application/json`")
    if len(body) > limit:
        raise Rejection(413, "Failed to buffer the request body: length limit exceeded")
    try:
        return msgspec.json.decode(body, type=into)
    except msgspec.ValidationError as exc:
        raise Rejection(422, _shape(str(exc))) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Rejection(400, f"Failed to parse the request body as JSON: {exc}") from exc


def inputs_of(value: RawInput) -> tuple[list[Input], bool]:
    """Return the inputs of a request and whether it is a single one, not a batch.

    A list of numbers is one input, given as token ids; so is an empty list, which is then refused.
    """
    if isinstance(value, str):
        return [value], True
    if all(isinstance(item, int) for item in value):
        return [cast("list[int]", value)], True
    if any(isinstance(item, int) for item in value):
        raise unmatched("Input")
    return cast("list[Input]", value), False


def id_lists(value: list[int | list[int]]) -> list[list[int]]:
    """Return the lists of ids of a `/decode` request; an empty list is one empty list."""
    if all(isinstance(item, int) for item in value):
        return [cast("list[int]", value)]
    if any(isinstance(item, int) for item in value):
        raise unmatched("InputIds")
    return cast("list[list[int]]", value)


def unmatched(name: str) -> Rejection:
    return Rejection(422, _shape(f"data did not match any variant of untagged enum {name}"))


def require_direction(given: str, known: Sequence[str]) -> bool:
    """Tell whether a text is cut from the left; refuses a spelling that the version does not know."""
    if given not in known:
        expected = " or ".join(f"`{name}`" for name in known[:2])
        text = f"truncation_direction: unknown variant `{given}`, expected {expected}"
        raise Rejection(422, _shape(text))
    return given.lower() == "left"


def _shape(text: str) -> str:
    return f"Failed to deserialize the JSON body into the target type: {text}"


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
