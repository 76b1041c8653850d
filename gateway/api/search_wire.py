"""A search result as the JSON that the API and the command line both print."""

from gateway.domain.search import Hit
from gateway.retrieval.pipeline import Explanation, SearchResult
from gateway.schemas.search import (
    HitStage,
    SearchExplanation,
    SearchHit,
    SearchResponse,
    StageRun,
)


def search_json(found: SearchResult, *, explain: bool) -> str:
    """Return a `SearchResponse` as JSON; stages and explanation only when they were asked for."""
    shown = SearchResponse(
        hits=[_hit(hit, explain=explain) for hit in found.hits],
        warnings=list(found.warnings),
        explanation=_explained(found.explanation) if explain else None,
    )
    excluded = None if explain else {"explanation": True, "hits": {"__all__": {"stages"}}}
    return shown.model_dump_json(exclude=excluded)


def _hit(hit: Hit, *, explain: bool) -> SearchHit:
    chunk = hit.chunk
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
        stages=[HitStage(stage=s.stage, score=s.score, rank=s.rank) for s in hit.stages]
        if explain
        else None,
    )


def _explained(found: Explanation) -> SearchExplanation:
    return SearchExplanation(
        task=found.task,
        prompt=found.prompt,
        space=found.space,
        size=found.size,
        tokens=found.tokens,
        embed_seconds=found.embed_seconds,
        stages=[StageRun(stage=s.stage, hits=s.hits, seconds=s.seconds) for s in found.stages],
    )
