"""All queries of a golden set through one configuration of the real search."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.bootstrap import Runtime
from gateway.domain.documents import Chunk
from gateway.domain.search import Hit
from gateway.embedding.texts import Input
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.measures import means, measure, measures_within
from gateway.evaluation.plan import READ, SPAN_DEPTHS, Plan, Progress, options_of
from gateway.evaluation.results import (
    Configuration,
    Index,
    JudgedHit,
    Latency,
    QueryResult,
    Ranked,
    Run,
)
from gateway.evaluation.statistics import intervals
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.pipeline import Retriever


@dataclass(frozen=True, slots=True)
class _Answer:
    """Documents of one query, the spans its chunks found at each depth, and what it took.

    `hits` are those chunks, judged.
    """

    ranking: tuple[Ranked, ...]
    spans: Mapping[str, float]
    seconds: float
    tokens: int
    hits: tuple[JudgedHit, ...] = ()


class Searcher:
    """Runs the queries of a golden set."""

    def __init__(self, runtime: Runtime, golden: GoldenSet, plan: Plan, progress: Progress) -> None:
        self._runtime = runtime
        self._retriever: Retriever = runtime.retriever
        self._golden = golden
        self._plan = plan
        self._progress = progress
        self._warned: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def warnings(self) -> Counter[str]:
        """What the searches warned of, with the number of queries, whatever the number of runs."""
        return Counter({text: len(queries) for text, queries in self._warned.items()})

    async def warm(self, size: int) -> None:
        """Embed all queries once, many at a time: the searches then find them in the cache.

        Raises:
            UpstreamError: the encoder failed.
        """
        texts = list(self._golden.queries.values())
        for start in range(0, len(texts), 256):
            batch = [Input(text) for text in texts[start : start + 256]]
            await self._runtime.embedder.embed(
                self._plan.task, batch, size=size, allow_prompted=True, truncate=True, partial=True
            )
            self._progress("embedding queries", start + len(batch), len(texts))

    async def run(self, collection: str, configuration: Configuration, index: Index) -> Run:
        """Search and measure.

        Raises:
            InvalidRequest: a query that cannot be searched, or a stage that the collection has not.
            UpstreamError: encoder or store failed.
        """
        golden, what = self._golden, f"searching {configuration.name}"
        limit = min(self._plan.depth, max(1, index.documents))
        answers: dict[str, _Answer] = {}
        for query, text in golden.queries.items():
            answers[query] = await self._ask(collection, configuration.stage, query, text, limit)
            self._progress(what, len(answers), len(golden.queries))
        return self._measured(configuration, index, answers)

    async def _ask(self, collection: str, stage: str, query: str, text: str, limit: int) -> _Answer:
        options = self._options(stage, limit)
        started = time.perf_counter()
        result = await self._retriever.search(collection, text, options)
        seconds = time.perf_counter() - started - result.explanation.embed_seconds
        for warning in result.warnings:
            self._warned[warning].add(query)
        ranking = tuple(Ranked(hit.chunk.document_id, hit.score) for hit in result.hits)
        tokens = result.explanation.tokens
        if not (self._plan.calibrate or self._golden.spans.get(query)):
            return _Answer(ranking, {}, seconds, tokens)
        options = self._options(stage, READ, by_document=False)
        hits = (await self._retriever.search(collection, text, options)).hits
        judged = tuple(JudgedHit(hit.score, self._is_relevant(query, hit.chunk)) for hit in hits)
        return _Answer(ranking, self._spans(query, hits), seconds, tokens, judged)

    def _options(self, stage: str, limit: int, *, by_document: bool = True) -> SearchOptions:
        candidates = self._runtime.settings.rerank.candidates
        return options_of(stage, self._plan, limit, candidates=candidates, by_document=by_document)

    def _is_relevant(self, query: str, chunk: Chunk) -> bool:
        """Tell by the spans in the chunk's document where it has any, else by its judgment."""
        document = chunk.document_id
        spans = [s for s in self._golden.spans.get(query, ()) if s.document_id == document]
        if spans:
            return any(span.overlaps(document, chunk.start, chunk.end) for span in spans)
        return self._golden.qrels.get(query, {}).get(document, 0) > 0

    def _spans(self, query: str, hits: Sequence[Hit]) -> dict[str, float]:
        """Share of the query's spans that the first chunks touch, by depth."""
        spans = self._golden.spans.get(query)
        if not spans:
            return {}
        places = [(hit.chunk.document_id, hit.chunk.start, hit.chunk.end) for hit in hits]
        return {
            f"span_recall@{depth}": sum(
                any(span.overlaps(*place) for place in places[:depth]) for span in spans
            )
            / len(spans)
            for depth in SPAN_DEPTHS
        }

    def _measured(
        self, configuration: Configuration, index: Index, answers: Mapping[str, _Answer]
    ) -> Run:
        rankings = {query: answer.ranking for query, answer in answers.items()}
        measured = measures_within(self._plan.depth)
        values = measure(self._golden.qrels, rankings, measured)
        spans = {query: answer.spans for query, answer in answers.items() if answer.spans}
        spread = intervals(values, measured)
        figures = means(values, measured)
        if spans:
            names = tuple(next(iter(spans.values())))
            figures |= means(spans, names)
            spread |= intervals(spans, names)
        times = np.array([answer.seconds for answer in answers.values()]) * 1000
        middle, late = np.percentile(times, [50, 95]).tolist()
        return Run(
            configuration=configuration,
            metrics=figures,
            intervals=spread,
            queries=tuple(
                QueryResult(query, {**values[query], **a.spans}, a.ranking, a.seconds, a.hits)
                for query, a in answers.items()
            ),
            latency=Latency(middle, late),
            index=index,
            query_tokens=sum(answer.tokens for answer in answers.values()),
        )
