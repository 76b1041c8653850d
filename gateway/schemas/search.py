"""The JSON of search, and the grammar of its filters."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, WithJsonSchema

from gateway.schemas.base import Body, Reply

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
        'keys joined by dots. Equality knows types (`1` is not `"1"`); a list matches when one of '
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


class SearchRequest(Body):
    """One text to rank the chunks of a collection against."""

    query: str = Field(min_length=1, description="The bare text; the model's prompt is added here")
    task: str = Field(default="query", description="What the text is")
    limit: int = Field(default=10, description="Most hits (or documents) to return: 1-1000")
    offset: int = Field(default=0, description="Hits (or documents) to skip")
    filter: FilterJson | None = Field(default=None, description="Which chunks may be hits")
    score_threshold: float | None = Field(
        default=None, description="Least score of a hit: dot product of unit vectors, -1 to 1"
    )
    group_by: Literal["document"] | None = Field(
        default=None, description="`document`: only the best chunk of each document"
    )
    explain: bool = Field(default=False, description="Say how the search was answered")
    exact: bool = Field(default=False, description="Brute force instead of an approximate index")
    allow_prompted: bool = Field(
        default=False, description="The query is meant as it is, although it begins with a prompt"
    )
    truncate: bool = Field(
        default=False,
        description="Cut a query over the model's limit, and say so in `warnings`, instead of "
        "refusing it",
    )


class HitStage(Reply):
    """What one stage of the search thought of a hit; ranks count from 1."""

    stage: str
    score: float
    rank: int


class SearchHit(Reply):
    id: str = Field(description="Id of the chunk")
    score: float
    document_id: str
    chunk_index: int
    title: str | None
    heading_path: list[str]
    text: str
    span: tuple[int, int] = Field(
        description="Characters of the document's text: `text == document.text[start:end]`"
    )
    tokens: int
    metadata: dict[str, Any]
    source: str
    ingested_at: str
    stages: list[HitStage] | None = Field(default=None, description="Only with `explain`")


class StageRun(Reply):
    stage: str
    hits: int
    seconds: float


class SearchExplanation(Reply):
    """The exact prompt, the space, tokens read, and the stages in order with their times."""

    task: str
    prompt: str
    space: str
    size: int
    tokens: int
    embed_seconds: float
    stages: list[StageRun]


class SearchResponse(Reply):
    hits: list[SearchHit] = Field(description="Best first; ties in order of chunk id")
    warnings: list[str]
    explanation: SearchExplanation | None = Field(default=None, description="Only with `explain`")
