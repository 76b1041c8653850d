"""A search: embed the query, run the stages, say what was done."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.domain.collections import CollectionSpec
from gateway.domain.search import Filter, Hit
from gateway.embedding.embedder import Embedder
from gateway.embedding.language import script_warning
from gateway.embedding.profile import Task
from gateway.embedding.results import Embeddings
from gateway.errors import InvalidRequest
from gateway.events import Searched, Sink, discard
from gateway.ports import VectorStore
from gateway.retrieval.collections import Collections
from gateway.retrieval.stages import Mode, Query, Stage, group, page, retrieve

MOST_HITS = 1_000
"""Most hits one search returns."""
DEEPEST = 10_000
"""Largest offset + limit."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search. `mode` auto is hybrid where the collection indexes words, else dense.

    `by_document` returns the best chunk of each document; `exact` skips indexes.

    `truncate` cuts a query that is over the model's limit, with a warning, instead of refusing it.
    """

    task: str = Task.QUERY
    mode: Mode = Mode.AUTO
    limit: int = 10
    offset: int = 0
    where: Filter | None = None
    score_threshold: float | None = None
    by_document: bool = False
    exact: bool = False
    allow_prompted: bool = False
    truncate: bool = False


@dataclass(frozen=True, slots=True)
class StageTrace:
    """One stage as it ran: hits out and seconds spent."""

    stage: str
    hits: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a search was answered: the exact prompt, the space, tokens read, stages in order."""

    task: str
    prompt: str
    space: str
    size: int
    tokens: int
    embed_seconds: float
    stages: tuple[StageTrace, ...]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, with the explanation and any warnings for the caller."""

    hits: Sequence[Hit]
    explanation: Explanation
    warnings: tuple[str, ...] = ()


class Retriever:
    """Searches collections of the embedder's space."""

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        collections: Collections,
        *,
        sink: Sink = discard,
    ) -> None:
        self._embedder = embedder
        self._collections = collections
        self._sink = sink
        self._stages: Mapping[str, Stage] = {
            "retrieve": retrieve(store),
            "group": group,
            "page": page,
        }

    async def search(
        self, collection: str, text: str, options: SearchOptions | None = None
    ) -> SearchResult:
        """Rank the chunks of a collection against one text.

        Raises:
            CollectionNotFound, SpaceMismatch: the collection is missing or another model's.
            InvalidRequest: the text, task, filter or page cannot be served.
            UpstreamError: the encoder or the store failed.
        """
        options = options or SearchOptions()
        _require_page(options)
        started = time.perf_counter()
        spec = await self._collections.open(collection)
        embedded = await self._embedder.embed_one(
            options.task,
            text,
            size=spec.size,
            allow_prompted=options.allow_prompted,
            truncate=options.truncate,
        )
        embed_seconds = time.perf_counter() - started
        hits, traces = await self._run(_query(spec, text, embedded, options))
        explanation = Explanation(
            task=options.task,
            prompt=self._embedder.profile.prompt(options.task),
            space=spec.space,
            size=spec.size,
            tokens=embedded.tokens,
            embed_seconds=embed_seconds,
            stages=traces,
        )
        self._sink(Searched(collection, len(hits), time.perf_counter() - started))
        return SearchResult(hits, explanation, self._warnings(text, embedded))

    def _warnings(self, text: str, embedded: Embeddings) -> tuple[str, ...]:
        script = script_warning(self._embedder.profile, text)
        cut = [
            f"the query was cut: the model read {each.tokens} tokens of it, {each.lost} are lost"
            for each in embedded.truncated
        ]
        return (*([script] if script else []), *cut)

    async def _run(self, query: Query) -> tuple[Sequence[Hit], tuple[StageTrace, ...]]:
        hits: Sequence[Hit] = ()
        traces: list[StageTrace] = []
        for name, stage in self._stages.items():
            started = time.perf_counter()
            hits = await stage(query, hits)
            traces.append(StageTrace(name, len(hits), time.perf_counter() - started))
        return hits, tuple(traces)


def _query(spec: CollectionSpec, text: str, embedded: Embeddings, options: SearchOptions) -> Query:
    return Query(
        collection=spec.name,
        text=text,
        vector=embedded.vectors[0],
        space=spec.space,
        limit=options.limit,
        offset=options.offset,
        where=options.where,
        score_threshold=options.score_threshold,
        by_document=options.by_document,
        exact=options.exact,
        mode=_mode(spec, options.mode),
        coarse=_coarse(spec, options),
    )


def _mode(spec: CollectionSpec, asked: Mode) -> Mode:
    if asked is not Mode.AUTO:
        return asked
    return Mode.DENSE if spec.lexical is None else Mode.HYBRID


def _coarse(spec: CollectionSpec, options: SearchOptions) -> int | None:
    """Candidates that a pass over short vectors leaves, where the collection has such vectors."""
    if spec.coarse is None or options.exact:
        return None
    wanted = options.offset + options.limit
    return min(DEEPEST, max(100, round(wanted * spec.tuning.coarse_oversampling)))


def _require_page(options: SearchOptions) -> None:
    if not 1 <= options.limit <= MOST_HITS:
        raise InvalidRequest(f"limit must be 1-{MOST_HITS}, got {options.limit}", field="limit")
    if options.offset < 0:
        raise InvalidRequest(f"offset must not be negative, got {options.offset}", field="offset")
    if options.offset + options.limit > DEEPEST:
        raise InvalidRequest(
            f"offset + limit must not exceed {DEEPEST}; narrow the search by a filter instead",
            field="offset",
        )
