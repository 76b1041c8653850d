"""Searches of a Qdrant server: in one request where nothing is to be explained."""

import time
from dataclasses import replace
from functools import partial
from uuid import UUID

from qdrant_client import AsyncQdrantClient

from gateway.domain.collections import CollectionSpec
from gateway.domain.search import DenseQuery, Hit, HybridQuery, LexicalQuery, Pass, StoreQuery
from gateway.together import together
from gateway.vectorstores import qdrant_queries as queries
from gateway.vectorstores import qdrant_schema as schema
from gateway.vectorstores.qdrant_calls import Caller
from gateway.vectorstores.ranking import (
    COARSE,
    DENSE,
    LEXICAL,
    FirstPass,
    fused,
    halves_of,
    page,
)


class QdrantSearcher:
    """Answers checked queries; `tuned` says whether the server knows search parameters."""

    def __init__(self, client: AsyncQdrantClient, reads: Caller, *, tuned: bool) -> None:
        self._client = client
        self._reads = reads
        self._tuned = tuned

    async def answer(self, spec: CollectionSpec, query: StoreQuery) -> list[Hit]:
        """Return the hits of one page.

        Raises:
            CollectionNotFound, UpstreamError.
        """
        if isinstance(query, HybridQuery):
            return await self._fused(spec, query)
        return await self._single(spec, query)

    async def _single(self, spec: CollectionSpec, query: DenseQuery | LexicalQuery) -> list[Hit]:
        if isinstance(query, DenseQuery) and query.explain and query.coarse is not None:
            return await self._in_two_passes(spec, query)
        request = queries.single(spec, query, tuned=self._tuned)
        if request is None:
            return []
        return await page(query, partial(self._fetch, spec.name, request))

    async def _in_two_passes(self, spec: CollectionSpec, query: DenseQuery) -> list[Hit]:
        """Look through the short vectors in a request of its own, to tell what it thought of a hit."""
        started = time.perf_counter()
        call = partial(self._client.query_points, spec.name, with_payload=False)
        first = queries.first_pass(spec, query, tuned=self._tuned) or {}
        points = (await self._reads("query", spec.name, partial(call, **first))).points
        left = FirstPass([UUID(str(p.id)) for p in points], [p.score for p in points])
        query.passes.append(Pass(COARSE, 0, len(left), time.perf_counter() - started))
        if not left:
            return []
        request = queries.among(spec, query, left.keys)
        hits = await page(query, partial(self._fetch, spec.name, request))
        return [replace(hit, stages=(left.told(hit.id),)) for hit in hits]

    async def _fused(self, spec: CollectionSpec, query: HybridQuery) -> list[Hit]:
        """Let the engine fuse where nobody asks what the halves thought and both weigh the same."""
        fusion = query.fusion
        request = queries.fused(spec, query, tuned=self._tuned)
        if request is not None and not query.explain and len(set(fusion.weights)) == 1:
            return await page(query, partial(self._fetch, spec.name, request))
        by_meaning = query.nearest
        (nearest, dense), (sharing, lexical) = await together(
            [self._timed(spec, by_meaning), self._timed(spec, query.lexical)]
        )
        if query.explain:
            sizes = len(nearest), len(sharing)
            query.passes.extend(halves_of(by_meaning.passes, sizes, (dense, lexical)))
        return fused({DENSE: nearest, LEXICAL: sharing}, query)

    async def _timed(
        self, spec: CollectionSpec, query: DenseQuery | LexicalQuery
    ) -> tuple[list[Hit], float]:
        """Return the hits of one half, and the seconds that they took."""
        started = time.perf_counter()
        return await self._single(spec, query), time.perf_counter() - started

    async def _fetch(self, name: str, request: queries.Request, limit: int) -> list[Hit]:
        call = partial(self._client.query_points, name, with_payload=True, limit=limit, **request)
        answer = await self._reads("query", name, call)
        return [schema.hit_of(point) for point in answer.points]
