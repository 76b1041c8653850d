"""Documents, their chunks, and the identities derived from them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias
from uuid import UUID, uuid5

from gateway.domain.vectors import Vector

JSONScalar: TypeAlias = str | int | float | bool | None
JSONValue: TypeAlias = "JSONScalar | list[JSONValue] | dict[str, JSONValue]"
Metadata: TypeAlias = Mapping[str, JSONValue]

NAMESPACE = UUID("6c1f0d3e-5d0b-5b52-9a3c-7a1f4f1c2b90")
"""The uuid5 namespace of chunk ids; changing it orphans every stored collection."""

NO_METADATA: Metadata = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Document:
    """A text as the user gave it. `source` says where it came from (a path, "stdin", "api").

    `line` is its line in a source of many documents, from 1; it is no part of the document itself.

    `format` is how the text is to be split: "text" or "markdown". `text` and `title` are kept
    exactly as read: nothing is stripped or rewritten.
    """

    id: str
    text: str
    title: str | None = None
    metadata: Metadata = field(default_factory=lambda: NO_METADATA)
    source: str = ""
    format: str = "text"
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document: `text == document.text[start:end]` (characters).

    `tokens` counts the whole model input: prompt, title, text and special tokens.
    `document_chunks` is the number of chunks of the document, `content_hash` that of the document.
    """

    document_id: str
    index: int
    text: str
    start: int
    end: int
    tokens: int
    document_chunks: int
    content_hash: str
    title: str | None = None
    heading_path: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=lambda: NO_METADATA)
    source: str = ""


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """A chunk with its unit float32 vector, shape (size,), and the fingerprint of its space.

    `ingested_at` is RFC 3339 in UTC.
    """

    chunk: Chunk
    vector: Vector
    ingested_at: str
    space: str


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk as a store returns it. `vector` is present only when it was asked for.

    `space` is what its writer said of the vector; empty where it said nothing.
    """

    id: UUID
    chunk: Chunk
    ingested_at: str
    vector: Vector | None = field(default=None, compare=False)
    space: str = ""


def chunk_id(collection: str, document_id: str, index: int) -> UUID:
    """Same collection, document and place: same point. Ingesting twice equals ingesting once."""
    return uuid5(NAMESPACE, json.dumps([collection, document_id, index], ensure_ascii=False))


def content_hash(document: Document, *, chunking: str) -> str:
    """Hex digest (128 bits) of all that decides a document's chunks; `chunking` names the rules."""
    parts = [document.text, document.title, dict(document.metadata), document.format, chunking]
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
