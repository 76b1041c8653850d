"""TEI's answers without vectors, as one table: request, then status, type and body by version."""

from dataclasses import dataclass, field
from typing import Any, Final

from gateway.embedding.catalog import GEMMA_CONFIGURED_PROMPTS

VERSIONS: Final = ("1.8.3", "1.9.3")
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

Status = int | tuple[int, int]
"""(1.8.3, 1.9.3) where the two differ."""
STATUSES: Final[dict[str, Status]] = {"Validation": (413, 422), "Empty": 400, "Backend": 424}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the contract.

    `body` is the whole answer, a pattern for the beginning of a plain text, or None for no body;
    of OpenAI's `code` it holds nothing, for that is the status again.
    """

    name: str
    method: str = "POST"
    path: str = "/embed"
    json: Any = None
    content: bytes | None = None
    content_type: str = JSON
    status: Status
    type: str | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def status_of(self, version: str) -> int:
        return self.status if isinstance(self.status, int) else self.status[VERSIONS.index(version)]


def native(name: str, path: str, json: object, kind: str, text: str) -> Line:
    body = {"error": text, "error_type": kind}
    return Line(name=name, path=path, json=json, status=STATUSES[kind], type=JSON, body=body)


def openai(name: str, json: object, kind: str, text: str) -> Line:
    body = {"message": text, "type": kind}
    path = "/v1/embeddings"
    return Line(name=name, path=path, json=json, status=STATUSES[kind], type=JSON, body=body)


def shape(name: str, json: object, text: str = "", path: str = "/embed") -> Line:
    body = "Failed to deserialize the JSON body into the target type: " + text
    return Line(name=name, path=path, json=json, status=422, type=TEXT, body=body)


def raw(name: str, content: bytes, status: int, text: str, content_type: str = JSON) -> Line:
    return Line(
        name=name,
        content=content,
        content_type=content_type,
        status=status,
        type=TEXT,
        body=text,
    )


V: Final = "Input validation error: "
EMPTY: Final = V + "`inputs` cannot be empty"
TOO_MANY: Final = "batch size 5 > maximum allowed batch size 4"
LONG_TEXT: Final = "word " * 20
TOO_LONG: Final = V + "`inputs` must have less than 16 tokens. Given: 22"
TOO_WIDE: Final = V + "`dimensions` should be smaller than the maximum embedding dimension."
BAD_JSON: Final = "Failed to parse the request body as JSON: "
UNKNOWN_PROMPT: Final = (
    V + "`default-prompt-name` is set to `no such` but it was not found in the Sentence "
    "Transformers prompts. Available prompts: ["
    + ", ".join(f'"{name}"' for name in GEMMA_CONFIGURED_PROMPTS)
    + "]"
)
FOUR_SENTENCES: Final = {"inputs": {"source_sentence": "a", "sentences": ["a"] * 4}}
NO_SENTENCES: Final[dict[str, Any]] = {"inputs": {"source_sentence": "a", "sentences": []}}
TWO_INPUTS: Final = {"inputs": ["a", ""]}

LINES: Final = [
    Line(name="health", method="GET", path="/health", status=200),
    Line(name="root is health", method="GET", path="/", status=200),
    Line(name="ping", method="GET", path="/ping", status=200),
    # Batch size
    native("too many", "/embed", {"inputs": ["a"] * 5}, "Validation", TOO_MANY),
    openai("too many, OpenAI", {"input": ["a"] * 5}, "Validation", TOO_MANY),
    native("too many to tokenise", "/tokenize", {"inputs": ["a"] * 5}, "Validation", TOO_MANY),
    native("the source counts too", "/similarity", FOUR_SENTENCES, "Validation", TOO_MANY),
    native("too many to decode", "/decode", {"ids": [[1]] * 5}, "Validation", TOO_MANY),
    # Empty
    native("empty text", "/embed", {"inputs": ""}, "Empty", EMPTY),
    native("no inputs", "/embed", {"inputs": []}, "Empty", EMPTY),
    native("one empty text fails its batch", "/embed", TWO_INPUTS, "Empty", EMPTY),
    native("empty text to tokenise", "/tokenize", {"inputs": ""}, "Empty", EMPTY),
    openai("empty text, OpenAI", {"input": ""}, "Empty", EMPTY),
    native(
        "nothing to compare",
        "/similarity",
        NO_SENTENCES,
        "Empty",
        "`inputs.sentences` cannot be empty",
    ),
    native("nothing to decode", "/decode", {"ids": []}, "Empty", V + "`input_ids` cannot be empty"),
    native(
        "nothing to rank",
        "/rerank",
        {"query": "a", "texts": []},
        "Empty",
        "`texts` cannot be empty",
    ),
    # Length, dimensions, prompts
    native("too long", "/embed", {"inputs": LONG_TEXT}, "Validation", TOO_LONG),
    openai("too long, OpenAI", {"input": [LONG_TEXT]}, "Validation", TOO_LONG),
    native(
        "too many characters",
        "/embed",
        {"inputs": "a" * 4001},
        "Validation",
        V + "`inputs` must have less than 4000 characters. Given: 4001",
    ),
    native(
        "no dimensions",
        "/embed",
        {"inputs": "a", "dimensions": 0},
        "Validation",
        V + "`dimensions` should be positive",
    ),
    openai("too many dimensions", {"input": "a", "dimensions": 769}, "Validation", TOO_WIDE),
    native(
        "unknown prompt",
        "/embed",
        {"inputs": "a", "prompt_name": "no such"},
        "Validation",
        UNKNOWN_PROMPT,
    ),
    openai("OpenAI's route knows no prompt", {"input": "", "prompt_name": "x"}, "Empty", EMPTY),
    # Another kind of model
    native(
        "sparse",
        "/embed_sparse",
        {"inputs": "a"},
        "Backend",
        "Backend error: Model is not an embedding model with SPLADE pooling",
    ),
    native(
        "token states",
        "/embed_all",
        {"inputs": "a"},
        "Backend",
        "Backend error: `embed_all` is not available for this encoder",
    ),
    native(
        "predict",
        "/predict",
        {"inputs": [["a", "b"], ["c"]]},
        "Backend",
        "Backend error: Model is not a classifier model",
    ),
    native(
        "rerank",
        "/rerank",
        {"query": "a", "texts": ["b"]},
        "Backend",
        "Backend error: model is not a re-ranker model",
    ),
    # What axum refuses
    raw(
        "body over the limit",
        b'{"inputs": "' + b"x" * 5_000 + b'"}',
        413,
        "Failed to buffer the request body: length limit exceeded$",
    ),
    raw(
        "no content type",
        b'{"inputs": "a"}',
        415,
        "Expected request with `Content-Type: application/json`$",
        content_type="",
    ),
    raw("no JSON", b"{", 400, BAD_JSON),
    raw("no body", b"", 400, BAD_JSON),
    raw("no UTF-8", b'{"inputs": "\xff"}', 400, BAD_JSON),
    raw("a lone surrogate", b'{"inputs": "\\ud800 and more"}', 400, BAD_JSON),
    raw("deep nesting", b'{"a":' * 900, 400, BAD_JSON),
    shape("missing field", {}),
    shape("no object", [["a"]]),
    shape("a number", {"inputs": 1.5}),
    shape("ids and texts", {"inputs": [1, "a"]}, "data did not match any variant of untagged enum"),
    shape("negative ids", {"inputs": [-1]}),
    shape("negative dimensions", {"inputs": "a", "dimensions": -1}),
    shape("null for a flag that has a default", {"inputs": "a", "normalize": None}),
    shape("unknown format", {"input": "a", "encoding_format": "hex"}, path="/v1/embeddings"),
    shape(
        "unknown direction",
        {"inputs": "a", "truncation_direction": "up"},
        "truncation_direction: unknown variant `up`, expected `Left` or `Right`$",
    ),
    # Routing
    Line(name="unknown route", path="/v1/models", json={}, status=404),
    Line(name="unknown route, GET", method="GET", path="/v1/models", status=404),
    Line(name="wrong method", method="GET", status=405, headers={"allow": "POST"}),
    Line(name="POST to GET", path="/info", json={}, status=405, headers={"allow": "GET,HEAD"}),
]
