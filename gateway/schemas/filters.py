"""The grammar of filters, as JSON Schema."""

from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

_REF: Final = "#/components/schemas/Filter"
_VALUE: Final[dict[str, Any]] = {"type": ["string", "integer", "number", "boolean"]}
_BOUND: Final[dict[str, Any]] = {"type": ["number", "string"]}


def _only(key: str, value: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {key: value},
        "required": [key],
        "additionalProperties": False,
    }


def _by_field(value: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": value,
        "minProperties": 1,
        "maxProperties": 1,
    }


_MANY: Final[dict[str, Any]] = {"type": "array", "items": {"$ref": _REF}, "minItems": 1}
_BOUNDS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": dict.fromkeys(("gt", "gte", "lt", "lte"), _BOUND),
    "additionalProperties": False,
    "minProperties": 1,
}

FILTER_SCHEMA: Final[dict[str, Any]] = {
    "title": "Filter",
    "description": (
        "A condition on chunks: an object with exactly one operator. A field is `document_id`, "
        "`chunk_index`, `content_hash`, `title`, `source`, `ingested_at` or `metadata.<key>`, nested "
        "keys joined by dots; metadata fields are declared with the collection, and a value of "
        'another type is refused. Equality knows types (`1` is not `"1"`); a list matches when one of '
        "its elements does; range bounds are numbers, or RFC 3339 times as strings; `exists` holds "
        "when the field is present, not null and not an empty list."
    ),
    "oneOf": [
        _only("eq", _by_field(_VALUE)),
        _only("in", _by_field({"type": "array", "items": _VALUE, "minItems": 1})),
        _only("range", _by_field(_BOUNDS)),
        _only("exists", {"type": "string"}),
        _only("and", _MANY),
        _only("or", _MANY),
        _only("not", {"$ref": _REF}),
    ],
    "examples": [
        {
            "and": [
                {"eq": {"metadata.language": "en"}},
                {"range": {"metadata.year": {"gte": 2020}}},
                {"not": {"exists": "metadata.withdrawn"}},
            ]
        }
    ],
}
"""JSON Schema of a filter, as the API reference shows it."""

FilterJson = Annotated[Any, WithJsonSchema({"$ref": _REF})]
