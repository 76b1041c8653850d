"""How probably hits are relevant, where that was measured for scores of their kind."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.domain.calibration import Calibration
from gateway.domain.collections import CollectionSpec
from gateway.domain.search import Fusion, Hit
from gateway.errors import InvalidRequest
from gateway.ports import Reranker
from gateway.retrieval.query import CANDIDATES, RERANK, GroupScore, Mode, Query, Stage

_BEYOND: Final = 1e30
"""A score that no hit has, and that every store takes for a threshold."""


def calibrated(spec: CollectionSpec, reranker: Reranker | None) -> Stage:
    """Say how probably each hit is relevant; of scores of an unmeasured kind nothing is said."""

    async def stage(query: Query, hits: Sequence[Hit]) -> Sequence[Hit]:
        if _unknown(spec, query, reranker) is not None:
            return hits
        calibration = spec.calibrations[_kind(query)]
        return [replace(hit, probability=calibration.probability(hit.score)) for hit in hits]

    return stage


def narrowed(
    spec: CollectionSpec, query: Query, least: float | None, reranker: Reranker | None
) -> Query:
    """Return the query with the score threshold that a least probability comes to.

    Raises:
        InvalidRequest: not 0-1, or no probability is known of such scores; says why and the remedy.
    """
    if least is None:
        return query
    field = "probability_threshold"
    if not 0 <= least <= 1:
        raise InvalidRequest(f"{field} must be 0-1, got {least}", field=field)
    if (why := _unknown(spec, query, reranker)) is not None:
        raise InvalidRequest(f"{why}; or use score_threshold", field=field)
    score = spec.calibrations[_kind(query)].least_score(least)
    if score == -math.inf:
        return query
    asked = -math.inf if query.score_threshold is None else query.score_threshold
    return replace(query, score_threshold=max(asked, min(score, _BEYOND)))


def _kind(query: Query) -> str:
    """Return what gives the hits of a query their score: a mode, or that and the reranker."""
    reranked = query.rerank is not None and RERANK not in query.skipped
    return f"{query.mode.value}+{RERANK}" if reranked else query.mode.value


def _unknown(spec: CollectionSpec, query: Query, reranker: Reranker | None) -> str | None:
    """Say why no probability is known of the scores of a query; None: it is."""
    kind = _kind(query)
    found = spec.calibrations.get(kind)
    if found is None:
        return (
            f"collection {spec.name!r} is not calibrated for {kind} search: run gateway eval on a "
            f"golden set of it with --collection {spec.name} --stages {kind} --calibrate"
        )
    return _changed(kind, found, query, reranker)


def _changed(kind: str, found: Calibration, query: Query, reranker: Reranker | None) -> str | None:
    """Say what of a query makes other scores than those that were measured."""
    if len(query.asks) > 1:
        return "probabilities are known of searches with one text: send `query`, not `queries`"
    if query.group is not None and query.group.score is GroupScore.SUM:
        return "probabilities are known of chunks, not of summed documents: group by best"
    if kind == Mode.HYBRID and (query.fusion, query.candidates) != (Fusion(), CANDIDATES):
        return "probabilities are known of the usual fusion: leave `fusion` and `candidates` out"
    if kind == Mode.DENSE and query.task != found.task:
        return f"probabilities are known of searches for task {found.task!r}, not {query.task!r}"
    served = reranker.info.scale if reranker is not None else None
    if kind.endswith(RERANK) and served != found.reranker:
        return f"probabilities are known of reranker {found.reranker!r}, and {served!r} is set"
    return None
