"""Our queries in the words of qdrant-client's query API: pure translations, no call."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
from qdrant_client import models

from gateway.domain.collections import CollectionSpec, require_lexical
from gateway.domain.search import DenseQuery, Fusion, FusionMethod, HybridQuery, LexicalQuery
from gateway.domain.vectors import shorten
from gateway.vectorstores import qdrant_schema as schema
from gateway.vectorstores.bm25 import SPARSE_NAME, query_vector
from gateway.vectorstores.conditions import optional_filter, wants_acorn
from gateway.vectorstores.payload import COARSE_NAME, VECTOR_NAME
from gateway.vectorstores.ranking import engine_threshold

Request = dict[str, Any]
"""Arguments of `query_points`, `limit` and payload left out."""


def single(
    spec: CollectionSpec, query: DenseQuery | LexicalQuery, *, tuned: bool
) -> Request | None:
    """Return a dense or a lexical request; None when a text has no word to look for."""
    base: Request = {
        "score_threshold": engine_threshold(query.score_threshold),
        "with_vectors": [VECTOR_NAME] if query.with_vectors else False,
        "query_filter": schema.to_filter(optional_filter(query.where, spec)),
    }
    if isinstance(query, LexicalQuery):
        words, weights = query_vector(require_lexical(spec), query.text)
        if not words:
            return None
        sparse = models.SparseVector(indices=words, values=weights)
        return {**base, "query": sparse, "using": SPARSE_NAME}
    return {**base, **_dense(spec, query, tuned=tuned)}


def fused(spec: CollectionSpec, query: HybridQuery, *, tuned: bool) -> Request | None:
    """Return a hybrid request that the engine fuses; None when a text has no word to look for.

    The engine's rank constant is ours plus one: it counts ranks from 0.
    """
    halves = [single(spec, half, tuned=tuned) for half in (query.nearest, query.lexical)]
    if halves[1] is None:
        return None
    return {
        "prefetch": [_prefetch(half, query.candidates) for half in halves if half is not None],
        "query": _fusion(query.fusion),
        "score_threshold": engine_threshold(query.score_threshold),
        "with_vectors": [VECTOR_NAME] if query.dense.with_vectors else False,
    }


def first_pass(spec: CollectionSpec, query: DenseQuery, *, tuned: bool) -> Request | None:
    """Return the pass over short vectors as a request of its own; None where there is none."""
    if query.coarse is None or spec.coarse is None:
        return None
    short = shorten(query.vector[np.newaxis, :], spec.coarse)[0]
    return {
        "query": short.tolist(),
        "using": COARSE_NAME,
        "limit": max(query.coarse, query.offset + query.limit),
        "query_filter": schema.to_filter(optional_filter(query.where, spec)),
        "search_params": _params(spec, query) if tuned else None,
    }


def among(spec: CollectionSpec, query: DenseQuery, ids: Collection[UUID]) -> Request:
    """Return a dense request for chunks that a pass over short vectors left."""
    chosen = models.HasIdCondition(has_id=[str(key) for key in ids])
    request = single(spec, replace(query, coarse=None, where=None), tuned=False)
    return {**(request or {}), "query_filter": models.Filter(must=[chosen])}


def _dense(spec: CollectionSpec, query: DenseQuery, *, tuned: bool) -> Request:
    full: Request = {"query": query.vector.tolist(), "using": VECTOR_NAME}
    if (first := first_pass(spec, query, tuned=tuned)) is None:
        return {**full, "search_params": _params(spec, query) if tuned else None}
    return {**full, "prefetch": [_prefetch(first, first["limit"])]}


def _params(spec: CollectionSpec, query: DenseQuery) -> models.SearchParams:
    return schema.search_params(spec.tuning, exact=query.exact, acorn=wants_acorn(query.where))


def _prefetch(half: Request, limit: int) -> models.Prefetch:
    return models.Prefetch(
        limit=limit,
        query=half["query"],
        using=half["using"],
        filter=half["query_filter"],
        params=half.get("search_params"),
        prefetch=half.get("prefetch"),
    )


def _fusion(fusion: Fusion) -> Any:
    if fusion.method is FusionMethod.DBSF:
        return models.FusionQuery(fusion=models.Fusion.DBSF)
    return models.RrfQuery(rrf=models.Rrf(k=fusion.k + 1))
