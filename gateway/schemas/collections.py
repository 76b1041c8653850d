"""The JSON of collections."""

from typing import Literal

from pydantic import Field

from gateway.schemas.base import Body, Reply

FieldKind = Literal["keyword", "integer", "float", "bool", "datetime"]


class CollectionRequest(Body):
    """A collection to make; `{}` takes the operator's defaults."""

    size: int | None = Field(
        default=None, description="Length of the stored vectors: a trained size of the model"
    )
    filter_fields: dict[str, FieldKind] = Field(
        default_factory=dict[str, FieldKind],
        description="Metadata fields to index, without the `metadata.` prefix",
        examples=[{"language": "keyword", "year": "integer"}],
    )


class Collection(Reply):
    name: str
    profile: str = Field(description="The model profile whose vectors it holds")
    space: str = Field(description="Fingerprint of the vector space")
    size: int
    filter_fields: dict[str, FieldKind]
    chunks: int = Field(description="Exact number of stored chunks")
    usable: bool = Field(description="Whether the served model may read and write it")


class CollectionList(Reply):
    collections: list[Collection]
