"""A search: embed what is asked, run the stages, say what was done."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Final

from gateway.domain.collections import CollectionSpec
from gateway.domain.search import Hit
from gateway.embedding.embedder import Embedder
from gateway.errors import GatewayError
from gateway.events import Searched, Sink, discard
from gateway.ports import Reranker, VectorStore
from gateway.retrieval.asking import Asked, Asking, Search
from gateway.retrieval.collections import Collections
from gateway.retrieval.declared import require_declared_fields
from gateway.retrieval.explanation import Explanation, SearchResult, StageTrace
from gateway.retrieval.options import SearchOptions, query_of, rerank_of
from gateway.retrieval.probability import calibrated, narrowed
from gateway.retrieval.query import RERANK, USUAL_RERANK, Ask, Mode, Query, Rerank, Stage
from gateway.retrieval.retrieve import given_of, retrieve
from gateway.retrieval.stages import diversify, group, page, rerank, surround
from gateway.retrieval.wordless import wordless_warnings
from gateway.together import together

_AT_ONCE: Final = 8
"""Searches of one batch that run side by side."""


class Retriever:
    """Searches collections of the embedder's space; reranks where a reranker is given."""

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        collections: Collections,
        *,
        reranker: Reranker | None = None,
        usual_rerank: Rerank = USUAL_RERANK,
        sink: Sink = discard,
    ) -> None:
        self._embedder = embedder
        self._asking = Asking(embedder)
        self._store = store
        self._collections = collections
        self._reranker = reranker
        self.usual_rerank: Final = usual_rerank
        """How hits are read again where a search does not say it."""
        self._sink = sink

    @property
    def space(self) -> str:
        """Fingerprint of the space that is searched."""
        return self._embedder.space

    async def search(
        self, collection: str, text: str | Sequence[str], options: SearchOptions | None = None
    ) -> SearchResult:
        """Rank the chunks of a collection against one text, or against several fused by rank.

        Raises:
            CollectionNotFound, SpaceMismatch: the collection is missing or another model's.
            InvalidRequest: the text, task, filter, page or a stage cannot be served.
            UpstreamError: the encoder, the store or the reranker failed.
        """
        texts = (text,) if isinstance(text, str) else tuple(text)
        search = Search(texts, options or SearchOptions())
        spec = await self._collections.open(collection)
        self._require_servable(spec, search.options)
        (asked,) = await self._asking.ask(spec, [search])
        if isinstance(asked, GatewayError):
            raise asked
        return await self._answer(spec, search, asked)

    async def search_many(
        self, collection: str, searches: Sequence[Search | GatewayError]
    ) -> list[SearchResult | GatewayError]:
        """Answer several searches of one collection; one that cannot be served spoils no other.

        Texts of the same task are embedded by one call. In place of a search its error may be given
        already, and comes back as it is.

        Raises:
            CollectionNotFound, SpaceMismatch: the collection is missing or another model's.
        """
        spec = await self._collections.open(collection)
        servable = [self._servable(spec, search) for search in searches]
        asked = await self._asking.ask(spec, servable)
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(
            search: Search | GatewayError, asked: Asked | GatewayError
        ) -> SearchResult | GatewayError:
            if isinstance(search, GatewayError):
                return search
            if isinstance(asked, GatewayError):
                return asked
            async with slots:
                try:
                    return await self._answer(spec, search, asked)
                except GatewayError as exc:
                    return exc

        return await together([*map(one, servable, asked)])

    def _servable(
        self, spec: CollectionSpec, search: Search | GatewayError
    ) -> Search | GatewayError:
        if isinstance(search, GatewayError):
            return search
        try:
            self._require_servable(spec, search.options)
        except GatewayError as exc:
            return exc
        return search

    def _require_servable(self, spec: CollectionSpec, options: SearchOptions) -> None:
        """Refuse what the collection or the configuration cannot serve, before anything is embedded."""
        require_declared_fields(spec, options.where)
        self._query(spec, options, ())

    def _query(self, spec: CollectionSpec, options: SearchOptions, asks: tuple[Ask, ...]) -> Query:
        reranks = rerank_of(options, self._reranker, self.usual_rerank)
        query = query_of(spec, options, reranks, asks)
        return narrowed(spec, query, options.probability_threshold, self._reranker)

    async def _answer(self, spec: CollectionSpec, search: Search, asked: Asked) -> SearchResult:
        options = search.options
        started = time.perf_counter()
        query = self._query(spec, options, asked.asks)
        hits, traces = await self._run(spec, query)
        spent = asked.seconds + time.perf_counter() - started
        self._sink(Searched(spec.name, len(hits), spent))
        explanation = self._explained(spec, query, options, asked, traces)
        wordless = wordless_warnings(self._store, spec, query)
        return SearchResult(hits, explanation, (*asked.warnings, *wordless, *query.warnings))

    async def _run(
        self, spec: CollectionSpec, query: Query
    ) -> tuple[Sequence[Hit], tuple[StageTrace, ...]]:
        hits: Sequence[Hit] = ()
        traces: list[StageTrace] = []
        for name, stage in self._stages(spec, query).items():
            started, before = time.perf_counter(), len(hits)
            hits = await stage(query, hits)
            seconds = time.perf_counter() - started
            passes = () if traces else tuple(query.passes)
            given = given_of(passes) if passes else before
            skipped = name in query.skipped
            traces.append(StageTrace(name, given, len(hits), seconds, skipped, passes))
        return hits, tuple(traces)

    def _stages(self, spec: CollectionSpec, query: Query) -> dict[str, Stage]:
        """Return the stages that a query passes, in order."""
        stages: dict[str, Stage] = {query.mode.value: retrieve(self._store)}
        if query.rerank is not None and self._reranker is not None:
            stages[RERANK] = rerank(self._reranker)
        if query.mmr is not None:
            stages["mmr"] = diversify
        if query.group is not None:
            stages["group"] = group
        stages["page"] = page
        if query.neighbours:
            stages["neighbours"] = surround(self._store)
        if spec.calibrations:
            stages["calibrated"] = calibrated(spec, self._reranker)
        return stages

    def _prompt(self, query: Query, options: SearchOptions) -> str | None:
        """Return the prompt of what was embedded; words alone are searched as they are."""
        if query.mode is Mode.LEXICAL:
            return None
        return self._embedder.profile.prompt(options.task)

    def _explained(
        self,
        spec: CollectionSpec,
        query: Query,
        options: SearchOptions,
        asked: Asked,
        traces: tuple[StageTrace, ...],
    ) -> Explanation:
        reranked = any(trace.stage == RERANK and not trace.skipped for trace in traces)
        return Explanation(
            trace_id=options.trace_id or secrets.token_hex(16),
            task=options.task,
            mode=query.mode.value,
            prompt=self._prompt(query, options),
            space=spec.space,
            size=spec.size,
            tokens=asked.tokens,
            embed_seconds=asked.seconds,
            stages=traces,
            fusion=query.fusion if query.fuses else None,
            coarse_size=None if query.coarse is None else spec.coarse,
            coarse_oversampling=query.coarse,
            reranker=self._reranker.info.model_id if reranked and self._reranker else None,
        )
