"""Queries on their way to the worker of the embedded engine, and hits and chunks on their way back."""

from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import numpy as np

from gateway.domain.collections import (
    CollectionSpec,
)
from gateway.domain.documents import StoredChunk
from gateway.domain.search import (
    DenseQuery,
    Hit,
    HybridQuery,
    LexicalQuery,
    StageScore,
    StoreQuery,
)
from gateway.vectorstores.conditions import optional_filter, wants_acorn
from gateway.vectorstores.payload import to_hit, to_stored
from gateway.vectorstores.ranking import engine_threshold

_WRITE_POINTS: Final = 512
_PAGE: Final = 256
_INDEX_SECONDS: Final = 3600.0


def request_of(spec: CollectionSpec, query: StoreQuery) -> dict[str, Any]:
    """Return a query as the worker reads it."""
    if isinstance(query, HybridQuery):
        fusion = query.fusion
        return {
            **request_of(spec, query.nearest),
            **_paging(query),
            "text": query.text,
            "candidates": query.candidates,
            "threshold": query.score_threshold,
            "fusion": {"method": fusion.method.value, "k": fusion.k, "weights": fusion.weights},
        }
    common = {
        "where": optional_filter(query.where, spec),
        "threshold": engine_threshold(query.score_threshold),
        "with_vectors": query.with_vectors,
        "explain": isinstance(query, DenseQuery) and query.explain,
    }
    if isinstance(query, LexicalQuery):
        return {**common, "text": query.text}
    return {
        **common,
        "vector": query.vector.tobytes(),
        "exact": query.exact,
        "acorn": wants_acorn(query.where),
        "coarse": None if query.coarse is None else max(query.coarse, query.offset + query.limit),
    }


def _paging(query: StoreQuery) -> dict[str, int]:
    return {"limit": query.limit, "offset": query.offset}


def hit_of(row: Any) -> Hit:
    key, score, payload, vector, stages = row
    found = to_hit(UUID(bytes=key), payload, score)
    values = None if vector is None else np.frombuffer(vector, np.float32)
    told = tuple(StageScore(*each) for each in stages)
    return replace(found, vector=values, stages=told) if told or values is not None else found


def stored_of(row: Any) -> StoredChunk:
    key, payload, vector = row
    values = None if vector is None else np.frombuffer(vector, np.float32)
    return to_stored(UUID(bytes=key), payload, values)
