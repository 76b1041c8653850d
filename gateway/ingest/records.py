"""One record, of a JSONL line, a CSV row or a request body, as a `Document`. Pure."""

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import Final, Literal, TypeAlias, cast

from gateway.domain.documents import NO_METADATA, Document, JSONValue, Metadata
from gateway.errors import InvalidDocument

Unknown: TypeAlias = Literal["metadata", "refuse"]
"""What becomes of unknown top-level keys: BEIR keeps metadata there, a strict body has none."""

FORMATS: Final = ("text", "markdown")
MAX_ID_CHARACTERS: Final = 1024
MAX_DEPTH: Final = 30
MAX_VALUES: Final = 100_000

_KNOWN: Final = frozenset({"text", "title", "metadata", "format"})
_INT64: Final = 2**63
_ESCAPE: Final = re.compile(
    rb"""\\(?:
        u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}  # a whole pair
      | (?P<half> u[dD][c-fC-F][0-9a-fA-F]{2}
                | u[dD][89abAB][0-9a-fA-F]{2}
                  (?! (?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)? \Z ) )  # cut off: no half
      | . )""",
    re.VERBOSE | re.DOTALL,
)
_HALF_IS_CALLED: Final = ("truncated", "surrogate", "hex escape")
"""In the words of msgspec and of pydantic."""


def parse_record(
    record: object,
    line: int | None = None,
    *,
    source: str = "",
    unknown: Unknown = "metadata",
    format: str = "text",
) -> Document:
    """Return the document of `{_id | id, text, title?, metadata?, format?, ...}`.

    `_id` wins over `id`; whole numbers become strings. An empty or blank title counts as none.
    Other keys join the metadata, or are refused; a body that refuses them wants ids as strings.

    Raises:
        InvalidDocument: with the `field` at fault and `line` as its index.
    """
    try:
        return _document(record, source, unknown, format)
    except InvalidDocument as exc:
        exc.index = line
        raise


def half_of_pair(data: bytes, said: str) -> str | None:
    """Return what is wrong with JSON that a decoder refused for half of a surrogate pair.

    `said` is the decoder's message, which calls such data truncated. None: it is something else.
    """
    if not any(name in said for name in _HALF_IS_CALLED):
        return None
    for found in _ESCAPE.finditer(data):
        if found["half"]:
            return (
                f"the escape '{found[0].decode()}' at byte {found.start()} is half of a surrogate "
                "pair; send it with its other half, or mend the encoding of the text"
            )
    return None


def plain_metadata(values: Mapping[str, object]) -> Metadata:
    """Copy metadata into JSON values: dates become ISO 8601 strings, other keys strings.

    Raises:
        InvalidDocument: too deep, too many values, or what JSON and the stores cannot hold.
    """
    if not values:
        return NO_METADATA
    copier = _Copier()
    return {_key(key): copier.copy(value, f"metadata.{key}", 1) for key, value in values.items()}


def require_id(value: object, field: str, *, whole_numbers: bool = True) -> str:
    """Return a usable document id or raise `InvalidDocument`."""
    if whole_numbers and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidDocument(f"{field!r} must be a string, not {_kind(value)}", field=field)
    if not value.strip():
        raise InvalidDocument(f"{field!r} must be a string that is not blank", field=field)
    if len(value) > MAX_ID_CHARACTERS:
        raise InvalidDocument(
            f"{field!r} has {len(value)} characters, at most {MAX_ID_CHARACTERS}", field=field
        )
    return _text(value, field)


def _document(record: object, source: str, unknown: Unknown, default_format: str) -> Document:
    if not isinstance(record, Mapping):
        raise InvalidDocument(f"a document is an object with 'id' and 'text', not {_kind(record)}")
    fields = cast("Mapping[str, object]", record)
    id_key = "_id" if "_id" in fields else "id"
    if id_key not in fields:
        raise InvalidDocument("no '_id' and no 'id': every document needs one", field="id")
    document_id = require_id(fields[id_key], id_key, whole_numbers=unknown != "refuse")
    text = fields.get("text")
    if not isinstance(text, str):
        raise InvalidDocument(f"'text' must be a string, not {_kind(text)}", field="text")
    return Document(
        id=document_id,
        text=_readable(text, "text"),
        title=_title(fields.get("title")),
        metadata=_metadata(fields, id_key, unknown),
        source=source,
        format=_format(fields.get("format"), default_format),
    )


def _title(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidDocument(f"'title' must be a string, not {_kind(value)}", field="title")
    return _readable(value, "title") if value.strip() else None


def _format(value: object, default: str) -> str:
    if value is None:
        return default
    if value not in FORMATS:
        raise InvalidDocument(f"'format' must be one of {', '.join(FORMATS)}", field="format")
    return str(value)


def _metadata(fields: Mapping[str, object], id_key: str, unknown: Unknown) -> Metadata:
    rest = {k: v for k, v in fields.items() if k not in _KNOWN and k != id_key}
    if rest and unknown == "refuse":
        name = next(iter(rest))
        raise InvalidDocument(
            f"unknown field {name!r}; put it into 'metadata' (a document has id, text, title, "
            "metadata, format)",
            field=str(name),
        )
    own = fields.get("metadata")
    if own is None:
        return plain_metadata(rest)
    if not isinstance(own, Mapping):
        raise InvalidDocument(f"'metadata' must be an object, not {_kind(own)}", field="metadata")
    inner = cast("Mapping[str, object]", own)
    clash = rest.keys() & inner.keys()
    if clash:
        name = min(clash)
        raise InvalidDocument(
            f"{name!r} stands both beside and inside 'metadata'; keep one", field=f"metadata.{name}"
        )
    return plain_metadata({**rest, **inner})


class _Copier:
    """Copies nested values into plain JSON, counting them: an alias bomb ends early."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def copy(self, value: object, field: str, depth: int) -> JSONValue:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise InvalidDocument(
                f"{field} is over the bounds of {MAX_DEPTH} levels and {MAX_VALUES} values",
                field=field,
            )
        if isinstance(value, Mapping):
            items = cast("Mapping[object, object]", value).items()
            return {_key(k): self.copy(v, f"{field}.{k}", depth + 1) for k, v in items}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.copy(v, field, depth + 1) for v in cast("list[object]", value)]
        return _scalar(value, field)


def _scalar(value: object, field: str) -> JSONValue:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, field)
    if isinstance(value, int):
        if -_INT64 <= value < _INT64:
            return value
        raise InvalidDocument(f"{field} is over 64 bits; write it as a string", field=field)
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        raise InvalidDocument(f"{field} is {value}, which is not JSON; leave it out", field=field)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    raise InvalidDocument(f"{field} is {_kind(value)}; metadata takes JSON values", field=field)


def _key(key: object) -> str:
    if isinstance(key, str):
        return _text(key, "metadata")
    return key.isoformat() if isinstance(key, date) else str(key)


def _readable(value: str, field: str) -> str:
    """Return a string that tokenizers and stores can take, or raise."""
    if "\x00" in value:
        raise InvalidDocument(
            f"{field} has a NUL at character {value.index(chr(0))}; remove it", field=field
        )
    return _text(value, field)


def _text(value: str, field: str) -> str:
    """Return a string that can be written as UTF-8, or raise; unlike an input it may be empty."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidDocument(
            f"{field} has half of a surrogate pair at character {exc.start}; send it with its other "
            "half, or mend the encoding",
            field=field,
        ) from exc
    return value


_KINDS: Final[Mapping[type, str]] = {
    type(None): "missing or null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), f"a {type(value).__name__}")
