"""A search: embed what is asked, run the stages, say what was done."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.domain.collections import CollectionSpec
from gateway.domain.search import Hit
from gateway.embedding.embedder import Embedder
from gateway.embedding.language import script_warning
from gateway.embedding.texts import Input
from gateway.errors import GatewayError, InvalidRequest
from gateway.events import Searched, Sink, discard
from gateway.ports import Reranker, VectorStore
from gateway.retrieval.collections import Collections
from gateway.retrieval.declared import require_declared_fields
from gateway.retrieval.explanation import Explanation, SearchResult, StageTrace
from gateway.retrieval.options import MOST_QUERIES, SearchOptions, mode_of, query_of, rerank_of
from gateway.retrieval.query import Ask, Mode, Query, Rerank, Stage
from gateway.retrieval.retrieve import retrieve
from gateway.retrieval.stages import calibrated, diversify, group, page, rerank, surround

_AT_ONCE: Final = 8
"""Searches of one batch that run side by side."""


@dataclass(frozen=True, slots=True)
class Search:
    """One search of a batch: several texts are searched each, and their ranks fused."""

    texts: tuple[str, ...]
    options: SearchOptions


@dataclass(frozen=True, slots=True)
class _Asked:
    """The texts of a search with their vectors, the tokens read, and what to say of them."""

    asks: tuple[Ask, ...]
    tokens: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


class Retriever:
    """Searches collections of the embedder's space; reranks where a reranker is given."""

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        collections: Collections,
        *,
        reranker: Reranker | None = None,
        usual_rerank: Rerank | None = None,
        sink: Sink = discard,
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._collections = collections
        self._reranker = reranker
        self._usual = usual_rerank
        self._sink = sink

    @property
    def space(self) -> str:
        """Fingerprint of the space that is searched."""
        return self._embedder.space

    @property
    def reranks(self) -> bool:
        """Tell whether there is a reranker."""
        return self._reranker is not None

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
        return await self._serve(await self._collections.open(collection), search)

    async def search_many(
        self, collection: str, searches: Sequence[Search | GatewayError]
    ) -> list[SearchResult | GatewayError]:
        """Answer several searches of one collection; one that cannot be served spoils no other.

        In place of a search its error may be given already, and comes back as it is.

        Raises:
            CollectionNotFound, SpaceMismatch: the collection is missing or another model's.
        """
        spec = await self._collections.open(collection)
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(search: Search | GatewayError) -> SearchResult | GatewayError:
            if isinstance(search, GatewayError):
                return search
            async with slots:
                try:
                    return await self._serve(spec, search)
                except GatewayError as exc:
                    return exc

        return list(await asyncio.gather(*map(one, searches)))

    async def _serve(self, spec: CollectionSpec, search: Search) -> SearchResult:
        started = time.perf_counter()
        asked = await self._ask(spec, search)
        seconds = time.perf_counter() - started
        return await self._answer(spec, search, replace(asked, seconds=seconds))

    async def _ask(self, spec: CollectionSpec, search: Search) -> _Asked:
        """Check the texts, and embed them unless only their words are looked for."""
        texts, options = search.texts, search.options
        if not 1 <= len(texts) <= MOST_QUERIES:
            raise InvalidRequest(
                f"a search has 1-{MOST_QUERIES} texts, got {len(texts)}", field="queries"
            )
        self._embedder.profile.prompt(options.task)
        require_declared_fields(spec, options.where)
        rerank_of(options, self._reranker, self._usual)
        inputs = [Input(text) for text in texts]
        if mode_of(spec, options.mode) is Mode.LEXICAL:
            self._embedder.require_inputs(
                options.task, inputs, allow_prompted=options.allow_prompted
            )
            return _Asked(tuple(map(Ask, texts)))
        embedded = await self._embedder.embed(
            options.task,
            inputs,
            size=spec.size,
            allow_prompted=options.allow_prompted,
            truncate=options.truncate,
        )
        scripts = [script_warning(self._embedder.profile, text) for text in texts]
        cut = [
            f"the query was cut: the model read {each.tokens} tokens of it, {each.lost} are lost"
            for each in embedded.truncated
        ]
        return _Asked(
            asks=tuple(map(Ask, texts, embedded.vectors)),
            tokens=embedded.tokens,
            warnings=(*dict.fromkeys(filter(None, scripts)), *cut),
        )

    async def _answer(self, spec: CollectionSpec, search: Search, asked: _Asked) -> SearchResult:
        options = search.options
        started = time.perf_counter()
        reranks = rerank_of(options, self._reranker, self._usual)
        query = query_of(spec, options, reranks, asked.asks)
        hits, traces = await self._run(spec, query)
        spent = asked.seconds + time.perf_counter() - started
        self._sink(Searched(spec.name, len(hits), spent))
        explanation = self._explained(spec, query, options, asked, traces)
        return SearchResult(hits, explanation, (*asked.warnings, *query.warnings))

    async def _run(
        self, spec: CollectionSpec, query: Query
    ) -> tuple[Sequence[Hit], tuple[StageTrace, ...]]:
        hits: Sequence[Hit] = ()
        traces: list[StageTrace] = []
        for name, stage in self._stages(spec, query).items():
            started, before = time.perf_counter(), len(hits)
            hits = await stage(query, hits)
            traces.append(StageTrace(name, before, len(hits), time.perf_counter() - started))
        return hits, tuple(traces)

    def _stages(self, spec: CollectionSpec, query: Query) -> dict[str, Stage]:
        """Return the stages that a query passes, in order."""
        stages: dict[str, Stage] = {query.mode.value: retrieve(self._store)}
        if query.rerank is not None and self._reranker is not None:
            stages["rerank"] = rerank(self._reranker)
        if query.mmr is not None:
            stages["mmr"] = diversify
        if query.group is not None:
            stages["group"] = group
        stages["page"] = page
        if query.neighbours:
            stages["neighbours"] = surround(self._store)
        if query.mode.value in spec.calibrations:
            stages["calibrated"] = calibrated(spec)
        return stages

    def _explained(
        self,
        spec: CollectionSpec,
        query: Query,
        options: SearchOptions,
        asked: _Asked,
        traces: tuple[StageTrace, ...],
    ) -> Explanation:
        reranked = query.rerank is not None and self._reranker is not None
        return Explanation(
            trace_id=options.trace_id or secrets.token_hex(16),
            task=options.task,
            mode=query.mode.value,
            prompt=self._embedder.profile.prompt(options.task),
            space=spec.space,
            size=spec.size,
            tokens=asked.tokens,
            embed_seconds=asked.seconds,
            stages=traces,
            fusion=query.fusion if query.mode is Mode.HYBRID else None,
            coarse_size=None if query.coarse is None else spec.coarse,
            coarse_oversampling=query.coarse,
            reranker=self._reranker.info.model_id if reranked and self._reranker else None,
        )
