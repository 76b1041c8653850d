"""Searches as JSON: what is asked, and the answer that the API and the command line both print."""

from dataclasses import asdict

from gateway.api.filters import parse_filter
from gateway.domain.search import Fusion, FusionMethod, Hit
from gateway.retrieval.explanation import Explanation, SearchResult
from gateway.retrieval.options import SearchOptions, group_of
from gateway.retrieval.query import GroupScore, Mode, OnFailure, Rerank
from gateway.schemas.search import (
    FusionRequest,
    HitStage,
    Neighbour,
    RerankRequest,
    SearchExplanation,
    SearchHit,
    SearchRequest,
    SearchResponse,
    StageRun,
)


def texts_of(asked: SearchRequest) -> tuple[str, ...]:
    """Return the texts of a search."""
    return (asked.query,) if asked.query is not None else tuple(asked.queries or ())


def names_of(asked: SearchRequest) -> dict[str, str]:
    """Return what the text of a search is called in the request; `{index}` is its place."""
    return {"text": "query" if asked.query is not None else "queries[{index}]"}


def options_of(asked: SearchRequest, usual: Rerank, *, trace_id: str = "") -> SearchOptions:
    """Return how a search is meant; `usual` is how hits are read again where it does not say it.

    Raises:
        InvalidRequest, InvalidFilter: a part of it makes no sense.
    """
    fusion = asked.fusion
    return SearchOptions(
        task=asked.task,
        mode=Mode(asked.mode),
        limit=asked.limit,
        offset=asked.offset,
        where=None if asked.filter is None else parse_filter(asked.filter),
        score_threshold=asked.score_threshold,
        probability_threshold=asked.probability_threshold,
        exact=asked.exact,
        coarse=asked.coarse,
        fusion=Fusion(FusionMethod(fusion.method), fusion.k, fusion.weights),
        candidates=asked.candidates,
        rerank=_rerank(asked.rerank, usual),
        mmr=asked.mmr,
        group=group_of(
            GroupScore(asked.group_score), asked.group_size, by_document=asked.group_by is not None
        ),
        neighbours=asked.neighbours,
        explain=asked.explain,
        allow_prompted=asked.allow_prompted,
        truncate=asked.truncate,
        trace_id=trace_id,
    )


def _rerank(asked: RerankRequest | bool | None, usual: Rerank) -> Rerank | bool | None:
    if not isinstance(asked, RerankRequest):
        return asked
    on_failure = None if asked.on_failure is None else OnFailure(asked.on_failure)
    return usual.but(asked.candidates, on_failure)


def search_answer(found: SearchResult, *, explain: bool) -> SearchResponse:
    """Return a result as JSON will show it; stages and explanation only when they were asked for."""
    return SearchResponse(
        hits=[_hit(hit, explain=explain) for hit in found.hits],
        warnings=list(found.warnings),
        explanation=_explained(found.explanation) if explain else None,
    )


def search_json(found: SearchResult, *, explain: bool) -> str:
    """Return a `SearchResponse` as JSON; what was not asked for is left out, not null."""
    shown = search_answer(found, explain=explain)
    left_out = {
        name
        for name in ("stages", "neighbours", "probability")
        if all(getattr(hit, name) is None for hit in shown.hits)
    }
    hits = {"hits": {"__all__": left_out}} if left_out else {}
    return shown.model_dump_json(exclude=hits if explain else {**hits, "explanation": True})


def _hit(hit: Hit, *, explain: bool) -> SearchHit:
    chunk = hit.chunk
    beside = [
        Neighbour(chunk_index=c.index, text=c.text, span=(c.start, c.end)) for c in hit.neighbours
    ]
    return SearchHit(
        id=str(hit.id),
        score=hit.score,
        document_id=chunk.document_id,
        chunk_index=chunk.index,
        title=chunk.title,
        heading_path=list(chunk.heading_path),
        text=chunk.text,
        span=(chunk.start, chunk.end),
        tokens=chunk.tokens,
        metadata=dict(chunk.metadata),
        source=chunk.source,
        ingested_at=hit.ingested_at,
        probability=hit.probability,
        neighbours=beside or None,
        stages=[HitStage(stage=s.stage, score=s.score, rank=s.rank) for s in hit.stages]
        if explain
        else None,
    )


def _explained(found: Explanation) -> SearchExplanation:
    told = asdict(found)
    fusion = found.fusion
    told["fusion"] = fusion and FusionRequest(
        method=fusion.method.value, k=fusion.k, weights=fusion.weights
    )
    told["stages"] = [StageRun(**asdict(stage)) for stage in found.stages]
    return SearchExplanation(**told)
