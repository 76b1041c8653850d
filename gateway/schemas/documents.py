"""The JSON of documents and of what became of them."""

from typing import Any, Literal

from pydantic import Field

from gateway.schemas.base import Body, Reply


class DocumentBody(Body):
    """A document to store. `_id` is read like `id`.

    This model documents the body; `gateway.ingest.records` reads it.
    """

    id: str = Field(
        description="At most 1024 characters, slashes allowed; the same id replaces the document"
    )
    text: str = Field(description="Kept exactly as sent; it is split into chunks, never cut")
    title: str | None = Field(default=None, description="Blank counts as none")
    metadata: dict[str, Any] | None = Field(default=None, description="What filters can ask for")
    format: Literal["text", "markdown"] | None = Field(
        default=None, description="How the text is split: `text` when omitted"
    )


class DocumentsBody(Body):
    documents: list[DocumentBody] = Field(min_length=1)


class IngestFailure(Reply):
    """A document or line that was not stored; what stands before and after it was."""

    id: str | None = Field(description="The document, where it could be read")
    line: int | None = Field(description="Line of the stream, from 1")
    reason: str


class IngestedDocument(Reply):
    id: str
    outcome: str = Field(description="`added`, `updated`, `unchanged`, `empty` or `failed`")
    chunks: int
    tokens: int


class IngestResponse(Reply):
    """What became of the documents. All chunks counted here are stored and survive a crash."""

    added: int
    updated: int
    unchanged: int = Field(description="Stored before with the same content: not embedded again")
    empty: int = Field(description="Documents without text; nothing is stored for them")
    failed: int = Field(description="Documents and lines that could not be stored; see `failures`")
    chunks: int = Field(description="Chunks stored by this call")
    tokens: int = Field(description="Tokens the model read for them")
    truncated_tokens: int = Field(description="Always 0: texts are split, never cut")
    seconds: float
    documents: list[IngestedDocument] = Field(
        description="The first of them, in the order they were done"
    )
    documents_omitted: int = Field(description="How many more there were")
    failures: list[IngestFailure] = Field(
        description="The first of those that failed or were empty"
    )
    failures_omitted: int
    not_ingested: list[str] = Field(
        description="Documents that were read but not finished, when the ingest was stopped"
    )


class StoredChunk(Reply):
    id: str
    index: int
    text: str
    span: tuple[int, int] = Field(description="Characters of the document's text")
    tokens: int
    heading_path: list[str]


class StoredDocument(Reply):
    id: str
    title: str | None
    source: str
    metadata: dict[str, Any]
    content_hash: str
    ingested_at: str
    chunks: list[StoredChunk] = Field(description="In order of their place in the text")
