"""The JSON of collections."""

from typing import Literal

from pydantic import Field

from gateway.schemas.base import Body, Reply

FieldKind = Literal["keyword", "integer", "float", "bool", "datetime"]


Language = Literal[
    "auto",
    "arabic",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hungarian",
    "italian",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "spanish",
    "swedish",
    "turkish",
]


class LexicalRequest(Body):
    """How the words of a collection are weighed: BM25."""

    language: Language = Field(
        default="auto",
        description="Stop words and Snowball stemmer; `auto` takes each word by its script",
    )
    k1: float = Field(default=1.2, ge=0, le=10, description="What repeating a word is worth")
    b: float = Field(default=0.75, ge=0, le=1, description="What the length of a chunk is worth")
    average_words: float = Field(
        default=100.0,
        ge=1,
        le=100_000,
        description="Words of an average chunk, stop words left out",
    )
    folding: bool | None = Field(
        default=None,
        description="Taken and not heeded, so that an answer can be sent back: new collections fold "
        "spellings, older ones stay as they are",
    )


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
    lexical: bool | LexicalRequest | None = Field(
        default=None,
        description="How words are indexed; false: they are not; true: they are; null: as the operator "
        "says, or as it is",
    )
    coarse: int | None = Field(
        default=None,
        description="Size of short vectors to store beside, for a first pass: a trained size of the "
        "model below `size`",
    )


class CollectionLexical(Reply):
    """How words are weighed, as the collection was made."""

    language: Language
    k1: float
    b: float
    average_words: float
    folding: bool = Field(
        description="Spellings that people mix are one word: ё and е, and in English accents and "
        "none; false for collections of earlier gateways"
    )


class CollectionTuning(Reply):
    quantization: Literal["none", "int8", "turbo4", "turbo2", "binary"]
    oversampling: float = Field(
        description="Candidates scored again per hit, after a quantised pass"
    )
    coarse_oversampling: float = Field(description="The same after a pass over short vectors")
    hnsw_ef: int


class Collection(Reply):
    name: str
    profile: str = Field(description="The model profile whose vectors it holds")
    space: str = Field(description="Fingerprint of the vector space")
    size: int
    filter_fields: dict[str, FieldKind]
    lexical: CollectionLexical | None = Field(
        description="How words are weighed; null: not indexed"
    )
    coarse: int | None = Field(description="Size of the short vectors beside; null: none")
    tuning: CollectionTuning = Field(description="How it is searched where it is large")
    calibrated: list[str] = Field(description="Modes of search whose scores have probabilities")
    chunks: int = Field(description="Exact number of stored chunks")
    usable: bool = Field(description="Whether the served model may read and write it")


class CollectionList(Reply):
    collections: list[Collection]
