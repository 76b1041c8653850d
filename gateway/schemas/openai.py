"""The JSON of `/v1`: OpenAI's embeddings and models, with the extras that retrieval needs."""

from typing import Literal

from pydantic import Field

from gateway.schemas.base import Body, Reply
from gateway.schemas.embed import TruncatedInput


class EmbeddingsRequest(Body):
    """Texts to embed. Say what they are by a model alias (`embeddinggemma-300m:query`) or `input_type`.

    This model documents the body; `gateway.api.openai_wire` reads it.
    """

    input: str | list[str] = Field(
        description="One text or a list of texts. Token ids are refused: ids of another tokenizer "
        "mean other words here"
    )
    model: str = Field(
        description="A served model, or an alias `<model>:<task>` as listed by `/v1/models`",
        examples=["embeddinggemma-300m:query"],
    )
    dimensions: int | None = Field(
        default=None, description="A trained size of the model; its default size when omitted"
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None,
        description="`base64`: little-endian float32 bytes, a fifth of the size; `float` when omitted",
    )
    user: str | None = Field(default=None, description="Accepted and not used")
    input_type: str | None = Field(
        default=None,
        description="What the texts are: a task such as `query` or `document`, where the model name "
        "does not say it",
    )
    prompt_name: str | None = Field(
        default=None, description="The same by a prompt name of the model's own configuration"
    )
    titles: list[str | None] | None = Field(
        default=None, description="Titles of documents, one for each input; null: untitled"
    )
    allow_prompted: bool | None = Field(
        default=None,
        description="The texts are meant as they are, although one begins with a prompt; false when "
        "omitted",
    )
    truncate: bool | None = Field(
        default=None,
        description="Cut a text over the model's limit at a token boundary, and report it in "
        "`truncated`, instead of refusing it; the prompt is never cut; false when omitted",
    )


class EmbeddingItem(Reply):
    object: Literal["embedding"]
    index: int = Field(description="Position of the input")
    embedding: list[float] | str = Field(
        description="Unit vector: numbers, or base64 of little-endian float32"
    )


class EmbeddingsUsage(Reply):
    """Tokens the model read, prompts and special tokens included; exact."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(Reply):
    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str = Field(description="The model name as it was asked for")
    usage: EmbeddingsUsage
    truncated: list[TruncatedInput] | None = Field(
        default=None, description="Inputs that were cut; left out when none was"
    )


class ModelCard(Reply):
    id: str
    object: Literal["model"] = "model"
    created: int = Field(default=0, description="Not known: always 0")
    owned_by: str = "tei-rag-gateway"


class ModelList(Reply):
    """The served model, its aliases by task, and its hub ids."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class OpenAIErrorBody(Reply):
    message: str = Field(description="What happened, to which named thing, and what to do")
    type: str = Field(description="`invalid_request_error`, `server_error` or `upstream_error`")
    param: str | None = Field(description="The offending field, such as `input[3]`")
    code: str | None = Field(description="Stable name of the kind of error, in snake case")


class OpenAIError(Reply):
    """OpenAI's error envelope."""

    error: OpenAIErrorBody
