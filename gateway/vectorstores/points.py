"""Points checked before any engine sees them: all of a call, or nothing.

The engines take NaN, apply a bad batch in part and leave ghost points behind (measured on
qdrant-edge-py 0.9.0), so this is the only gate.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import numpy as np

from gateway.domain.collections import CollectionSpec, require_lexical, require_space
from gateway.domain.documents import EmbeddedChunk, chunk_id
from gateway.domain.search import DenseQuery, Hit, HybridQuery, LexicalQuery, StoreQuery
from gateway.domain.vectors import Matrix, require_unit
from gateway.errors import DegenerateVector, InvalidRequest, SpaceMismatch
from gateway.vectorstores.payload import Payload, to_payload
from gateway.vectorstores.schema import require_declared

Q = TypeVar("Q", DenseQuery, LexicalQuery, HybridQuery, StoreQuery)

MAX_WINDOW = 10_000
"""Most hits one query may reach over, offset included."""


@dataclass(frozen=True, slots=True)
class Points:
    """What an engine is given: rows of `vectors`, shape (n, size), belong to `ids` in order."""

    ids: list[UUID]
    vectors: Matrix
    payloads: list[Payload]

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, start: int, size: int) -> "Points":
        end = start + size
        return Points(self.ids[start:end], self.vectors[start:end], self.payloads[start:end])


def to_points(spec: CollectionSpec, chunks: Sequence[EmbeddedChunk]) -> Points:
    """Check every chunk of a call; of those with the same id the last one stays.

    Raises:
        SpaceMismatch: a vector of another space than the collection's.
        DegenerateVector: a row of the wrong size, not float32, not finite or not of unit length.
        InvalidRequest: a payload that cannot be stored; `index` is the chunk's position.
    """
    for index, item in enumerate(chunks):
        require_space(spec, item.space)
        if item.vector.shape != (spec.size,):
            raise DegenerateVector(
                f"chunk {index} has a vector of shape {item.vector.shape}, but collection "
                f"{spec.name!r} stores size {spec.size}",
                index=index,
            )
    rows = [item.vector for item in chunks]
    matrix = np.stack(rows) if rows else np.empty((0, spec.size), np.float32)
    vectors = require_unit(matrix, size=spec.size)
    payloads = [_payload(spec, index, item) for index, item in enumerate(chunks)]
    last = {_point_id(spec.name, item): index for index, item in enumerate(chunks)}
    if len(last) == len(chunks):
        return Points(list(last), vectors, payloads)
    keep = list(last.values())
    return Points(list(last), vectors[keep], [payloads[index] for index in keep])


def require_query(spec: CollectionSpec, query: Q) -> Q:
    """Return a query that can be answered.

    Raises:
        SpaceMismatch: a vector of another space than the collection's.
        DegenerateVector: a vector of another size or not of unit length.
        InvalidRequest: limit, offset or threshold out of range, words where none are indexed, a
            coarse pass where there are no short vectors.
    """
    require_space(spec, query.space)
    _require_page(query)
    if isinstance(query, DenseQuery):
        _require_dense(spec, query)
    else:
        require_lexical(spec)
    if isinstance(query, HybridQuery):
        _require_page(query.nearest)
        _require_dense(spec, query.dense)
    return query


def _require_page(query: StoreQuery) -> None:
    if query.limit < 1:
        raise InvalidRequest(f"limit is {query.limit}; ask for at least 1", field="limit")
    if query.offset < 0:
        raise InvalidRequest(f"offset is {query.offset}; it counts from 0", field="offset")
    if query.offset + query.limit > MAX_WINDOW:
        raise InvalidRequest(
            f"offset + limit is {query.offset + query.limit}, at most {MAX_WINDOW}; "
            "narrow the search by a filter, or scroll",
            field="limit",
        )
    if query.score_threshold is not None and not math.isfinite(query.score_threshold):
        raise InvalidRequest("score_threshold is not a number", field="score_threshold")


def _require_dense(spec: CollectionSpec, query: DenseQuery) -> None:
    if query.vector.shape != (spec.size,):
        raise DegenerateVector(
            f"the query vector has shape {query.vector.shape}, but collection {spec.name!r} "
            f"stores size {spec.size}"
        )
    require_unit(query.vector[np.newaxis, :], size=spec.size)
    if query.coarse is None:
        return
    if spec.coarse is None:
        raise InvalidRequest(
            f"collection {spec.name!r} has no short vectors to search first: leave `coarse` out, or "
            "ingest into a collection that is made with a coarse size",
            field="coarse",
        )
    if not 1 <= query.coarse <= MAX_WINDOW:
        raise InvalidRequest(
            f"coarse leaves {query.coarse} candidates; take 1-{MAX_WINDOW}", field="coarse"
        )


def require_hits(name: str, space: str, hits: Iterable[Hit]) -> list[Hit]:
    """Return hits whose vectors are all of the query's space, as far as their writers said.

    A collection may be dropped and made anew by another process after its spec was read, and a
    write that was under way then lands in the new one: its points say so themselves.

    Raises:
        SpaceMismatch: names the document of the first that is not.
    """
    found = list(hits)
    for hit in found:
        if hit.space not in ("", space):
            raise SpaceMismatch(
                name, stored=hit.space, offered=space, document_id=hit.chunk.document_id
            )
    return found


def _point_id(name: str, item: EmbeddedChunk) -> UUID:
    return chunk_id(name, item.chunk.document_id, item.chunk.index)


def _payload(spec: CollectionSpec, index: int, item: EmbeddedChunk) -> Payload:
    try:
        payload = to_payload(item)
        require_declared(spec, payload["metadata"])
    except InvalidRequest as exc:
        exc.index = index
        raise
    return payload
