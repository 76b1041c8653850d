"""From judged hits to a map from score to probability of relevance, one for each kind of score.

Isotonic regression (pool adjacent violators; Barlow et al., 1972), thinned to a few points, over
the hits of plain searches, as users make them. How far it can be trusted is measured on queries that
it was not fitted on. What nobody judged counts as not relevant, so probabilities are too low where
judgments are sparse.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.domain.calibration import Calibration
from gateway.embedding.profile import Task
from gateway.errors import GatewayError, InvalidRequest
from gateway.evaluation.results import Calibrated, Run
from gateway.ports import VectorStore
from gateway.retrieval.query import RERANK, Mode

LEAST_HITS: Final = 100
LEAST_RELEVANT: Final = 20
MOST_POINTS: Final = 32
FOLDS: Final = 5
BINS: Final = 10

_MODES: Final = (Mode.DENSE.value, Mode.LEXICAL.value, Mode.HYBRID.value)
CALIBRATED: Final = frozenset((*_MODES, *(f"{mode}+{RERANK}" for mode in _MODES)))
"""Stages whose scores are of a kind that a search tells probabilities of."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Hits of one run: their scores, whether they are relevant, and the query each is of."""

    scores: Floats
    relevant: Floats
    queries: NDArray[np.int64]

    def of(self, chosen: NDArray[np.bool_]) -> "Judged":
        return Judged(self.scores[chosen], self.relevant[chosen], self.queries[chosen])


@dataclass(frozen=True, slots=True)
class Fitted:
    """What could be calibrated, and why the rest could not."""

    found: tuple[Calibrated, ...]
    failures: tuple[GatewayError, ...] = ()


def calibrate(runs: Sequence[Run]) -> Fitted:
    """Calibrate the scores of every run by a mode, plain or reranked; each stands for itself."""
    found: list[Calibrated] = []
    failures: list[GatewayError] = []
    for run in runs:
        if run.configuration.stage in CALIBRATED:
            try:
                found.append(_calibrated(run))
            except InvalidRequest as exc:
                failures.append(exc)
    return Fitted(tuple(found), tuple(failures))


def judged_hits(run: Run) -> Judged:
    """Return the judged hits of every query."""
    rows = [
        (hit.score, float(hit.relevant), number)
        for number, result in enumerate(run.queries)
        for hit in result.hits
    ]
    table = np.array(rows, np.float64).reshape(-1, 3)
    return Judged(table[:, 0], table[:, 1], table[:, 2].astype(np.int64))


def fit(judged: Judged) -> Calibration:
    """Return the monotone map that is nearest to the outcomes, thinned to a few points."""
    order = np.argsort(judged.scores, kind="stable")
    scores, values = judged.scores[order], judged.relevant[order]
    distinct, starts = np.unique(scores, return_index=True)
    weights = np.diff([*starts.tolist(), len(scores)]).astype(np.float64)
    means = np.add.reduceat(values, starts) / weights
    heights = pooled(means, weights)
    kept = _corners(distinct, heights)
    return Calibration(
        scores=tuple(distinct[kept].tolist()),
        probabilities=tuple(np.clip(heights[kept], 0.0, 1.0).tolist()),
        judged=len(scores),
    )


def pooled(means: Floats, weights: Floats) -> Floats:
    """Return the rising values nearest to `means` by weighted squares."""
    blocks: list[tuple[float, float, int]] = []
    for mean, weight in zip(means.tolist(), weights.tolist(), strict=True):
        block = (mean, weight, 1)
        while blocks and blocks[-1][0] >= block[0]:
            value, heavy, count = blocks.pop()
            total = heavy + block[1]
            block = ((value * heavy + block[0] * block[1]) / total, total, count + block[2])
        blocks.append(block)
    return np.repeat([value for value, _, _ in blocks], [count for _, _, count in blocks])


def _corners(scores: Floats, heights: Floats) -> NDArray[np.int64]:
    """Return where the line bends, thinned to `MOST_POINTS` of about as many scores each."""
    steps = np.flatnonzero(np.diff(heights))
    ends = np.unique([0, *steps.tolist(), *(steps + 1).tolist(), len(scores) - 1])
    if len(ends) <= MOST_POINTS:
        return ends
    return ends[np.unique(np.linspace(0, len(ends) - 1, MOST_POINTS).round().astype(int))]


def _calibrated(run: Run) -> Calibrated:
    judged, options = judged_hits(run), run.configuration.options
    _require_enough(run, judged)
    told = _held_out(judged)
    return Calibrated(
        run=run.name,
        stage=run.configuration.stage,
        calibration=replace(
            fit(judged),
            task=str(options.get("task", Task.QUERY)),
            reranker=None if (found := options.get("reranker")) is None else str(found),
        ),
        brier=float(np.mean((told - judged.relevant) ** 2)),
        error=expected_error(told, judged.relevant),
    )


def _require_enough(run: Run, judged: Judged) -> None:
    hits, relevant = len(judged.scores), int(judged.relevant.sum())
    if hits >= LEAST_HITS and relevant >= LEAST_RELEVANT:
        return
    remedy = "judge more queries (gateway golden new)"
    if hits < LEAST_HITS and run.by_words:
        remedy = f"ask longer queries, whose words are in more chunks, or {remedy}"
    elif hits >= LEAST_HITS:
        remedy = f"{remedy}, or more documents of each (--judge)"
    raise InvalidRequest(
        f"{hits} hits of {run.name} search with {relevant} relevant ones are too few to calibrate: it "
        f"takes {LEAST_HITS} and {LEAST_RELEVANT}; {remedy}",
        field="calibrate",
    )


def _held_out(judged: Judged) -> Floats:
    """Return the probability of every hit by a map that was fitted on other queries."""
    told = np.zeros(len(judged.scores))
    for fold in range(FOLDS):
        held = judged.queries % FOLDS == fold
        if held.any() and not held.all():
            map_of_others = fit(judged.of(~held))
            told[held] = map_of_others.probabilities_of(judged.scores[held].tolist())
    return told


def expected_error(told: Floats, relevant: Floats) -> float:
    """Return the expected calibration error in bins of equal width."""
    bins = np.minimum((told * BINS).astype(int), BINS - 1)
    gaps = [
        abs(told[bins == each].mean() - relevant[bins == each].mean()) * (bins == each).mean()
        for each in np.unique(bins)
    ]
    return float(sum(gaps))


async def keep(
    store: VectorStore, name: str, found: Sequence[Calibrated]
) -> tuple[Calibrated, ...]:
    """Keep calibrations with a collection: its searches then tell probabilities.

    Returns them with where they are kept, and with the hits of those they replace.

    Raises:
        CollectionNotFound, UpstreamError: nothing is kept.
    """
    spec = await store.spec(name)
    earlier = spec.calibrations
    kept = {**earlier, **{one.stage: one.calibration for one in found}}
    await store.amend(replace(spec, calibrations=kept))
    return tuple(
        replace(
            one, kept=name, replaced=earlier[one.stage].judged if one.stage in earlier else None
        )
        for one in found
    )


def losses_of(found: Sequence[Calibrated]) -> list[str]:
    """Say of each calibration that it replaced one of more judged hits."""
    return [
        f"the calibration of {one.stage} search that {one.kept!r} had was of {one.replaced} judged hits, "
        f"and is replaced by one of {one.calibration.judged}: calibrate with the larger set again to "
        "have it back"
        for one in found
        if one.replaced is not None and one.replaced > one.calibration.judged
    ]


def lines_of(found: Sequence[Calibrated]) -> list[str]:
    """Return what to tell of each calibration."""
    return [
        f"{one.run}: {one.calibration.judged} hits, {len(one.calibration.scores)} points; on "
        f"held-out queries Brier score {one.brier:.4f}, expected calibration error {one.error:.4f}"
        + ("" if one.kept is None else f"; kept with collection {one.kept!r}")
        for one in found
    ]
