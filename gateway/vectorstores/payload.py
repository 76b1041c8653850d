"""A chunk as a point carries it: the stored layout, and the way back.

Everything here is pure. `SCHEMA_VERSION` in `gateway.domain.collections` names this layout.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast
from uuid import UUID

from gateway.domain.documents import Chunk, EmbeddedChunk, JSONValue, StoredChunk
from gateway.domain.search import Hit
from gateway.domain.vectors import Vector
from gateway.errors import InvalidRequest, InvalidText

Payload: TypeAlias = dict[str, Any]
"""What a point holds besides its vector: JSON values only."""

VECTOR_NAME: Final = "dense"
"""The named vector of a point; its size is the collection's."""

COARSE_NAME: Final = "coarse"
"""The named vector beside it that a first pass looks through, where the collection has one."""

INDEXED: Final = {"document_id": "keyword", "content_hash": "keyword", "chunk_index": "integer"}
"""Payload indexes that every collection has, by field, as the engine names their types."""

_INT64: Final = 2**63
_DEPTH: Final = 32


def to_payload(item: EmbeddedChunk) -> Payload:
    """Return the payload of one chunk, detached from the caller's objects.

    Raises:
        InvalidText: a string holds a lone surrogate, which no store can write as UTF-8.
        InvalidRequest: metadata that JSON cannot hold (NaN, integers over 64 bits, odd types).
    """
    chunk = item.chunk
    return {
        "document_id": _text(chunk.document_id, "document_id"),
        "chunk_index": chunk.index,
        "document_chunks": chunk.document_chunks,
        "title": None if chunk.title is None else _text(chunk.title, "title"),
        "heading_path": [_text(heading, "heading_path") for heading in chunk.heading_path],
        "text": _text(chunk.text, "text"),
        "start": chunk.start,
        "end": chunk.end,
        "tokens": chunk.tokens,
        "metadata": _plain(chunk.metadata, "metadata", 0),
        "content_hash": chunk.content_hash,
        "source": _text(chunk.source, "source"),
        "ingested_at": item.ingested_at,
        "space": item.space,
    }


def to_chunk(payload: Mapping[str, Any]) -> Chunk:
    """Return the chunk that `to_payload` wrote."""
    return Chunk(
        document_id=payload["document_id"],
        index=payload["chunk_index"],
        text=payload["text"],
        start=payload["start"],
        end=payload["end"],
        tokens=payload["tokens"],
        document_chunks=payload["document_chunks"],
        content_hash=payload["content_hash"],
        title=payload["title"],
        heading_path=tuple(payload["heading_path"]),
        metadata=payload["metadata"],
        source=payload["source"],
    )


def to_stored(point_id: UUID, payload: Mapping[str, Any], vector: Vector | None) -> StoredChunk:
    space = payload.get("space", "")
    return StoredChunk(point_id, to_chunk(payload), payload["ingested_at"], vector, space)


def to_hit(point_id: UUID, payload: Mapping[str, Any], score: float) -> Hit:
    space = payload.get("space", "")
    return Hit(point_id, score, to_chunk(payload), payload["ingested_at"], space=space)


def _text(value: str, field: str) -> str:
    if value.isascii():
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InvalidText(
            f"{field} holds a lone surrogate at character {exc.start}, which is not text; "
            "decode the source with errors='replace' before ingesting",
            field=field,
        ) from exc
    return value


def _plain(value: object, field: str, depth: int) -> JSONValue:
    """Copy a JSON value into plain dicts and lists, refusing what a store would change."""
    if depth > _DEPTH:
        raise InvalidRequest(f"{field} nests deeper than {_DEPTH} levels; flatten it", field=field)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, field)
    if isinstance(value, int | float):
        return _number(value, field)
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {_key(k, field): _plain(v, f"{field}.{k}", depth + 1) for k, v in items}
    if isinstance(value, list | tuple):
        return [_plain(v, field, depth + 1) for v in cast("list[object]", value)]
    raise InvalidRequest(
        f"{field} holds a {type(value).__name__}; metadata takes JSON values only", field=field
    )


def _number(value: float, field: str) -> int | float:
    if isinstance(value, int):
        if -_INT64 <= value < _INT64:
            return value
        raise InvalidRequest(
            f"{field} holds {value}, over 64 bits; store it as a string", field=field
        )
    if math.isfinite(value):
        return value
    raise InvalidRequest(f"{field} holds {value}, which is not JSON; leave it out", field=field)


def _key(key: object, field: str) -> str:
    if not isinstance(key, str):
        raise InvalidRequest(f"{field} has the key {key!r}; keys are strings", field=field)
    return _text(key, field)
