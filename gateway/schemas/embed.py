"""The JSON of `/api/v1/embed`."""

from typing import Literal

from pydantic import Field

from gateway.schemas.base import Body, Reply


class EmbedInput(Body):
    text: str = Field(description="The bare text; the model's prompt is added here")
    title: str | None = Field(default=None, description="Title of the document it comes from")


class EmbedRequest(Body):
    """Texts to embed for one task."""

    task: str = Field(description="What the texts are", examples=["query", "document"])
    inputs: list[EmbedInput] = Field(min_length=1)
    size: int | None = Field(
        default=None, description="A trained size of the model; its default size when omitted"
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="`base64`: little-endian float32 bytes"
    )
    allow_prompted: bool = Field(
        default=False,
        description="The texts are meant as they are, although one begins with a prompt",
    )
    truncate: bool = Field(
        default=False,
        description="Cut a text over the model's limit at a token boundary, and report it in "
        "`truncated`, instead of refusing it; the prompt is never cut",
    )


class TruncatedInput(Reply):
    """An input that was cut, as its caller allowed."""

    index: int = Field(description="Position of the input")
    tokens: int = Field(description="Tokens read of it, its prompt included")
    lost: int = Field(description="Tokens of its end that were not read")


class EmbedResponse(Reply):
    """Unit float32 vectors in the order of the inputs, numbers or base64."""

    vectors: list[list[float]] | list[str]
    model: str = Field(description="Name of the model profile")
    task: str
    size: int
    space: str = Field(description="Fingerprint of the vector space")
    tokens: int = Field(description="Tokens the model read, prompts included; exact")
    truncated: list[TruncatedInput] = Field(
        description="Inputs that were cut; empty unless `truncate` was set"
    )
    warnings: list[str] = Field(default_factory=list[str])
