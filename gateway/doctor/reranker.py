"""Checks of the reranker, where one is configured."""

from typing import Final

from gateway.doctor.findings import Outcome, check, fail, ok
from gateway.doctor.patient import NotApplicable, Patient
from gateway.ports import Reranker

QUESTION: Final = "What is the capital of France?"
ANSWER: Final = "The capital of France is Paris, a city on the Seine."
UNRELATED: Final = "Sourdough rises by wild yeast that lives in the flour."


@check(
    "reranker-reachable",
    fails="It is down, still loading, no reranker at all, or serves another model than rerank.model.",
    remedy="start it, or correct rerank.urls and rerank.model",
)
async def reranker_reachable(patient: Patient) -> list[Outcome]:
    """A configured reranker answers and is the model that is meant."""
    if patient.reranker is None:
        if (error := patient.errors.get("reranker")) is None:
            raise NotApplicable("no reranker is configured")
        return [fail(str(error), patient.settings.rerank_kind)]
    health = await patient.reranker.health()
    if health.ok:
        return [ok(f"{health.detail}; model {patient.reranker.info.model_id}")]
    patient.down["reranker"] = health.detail
    return [fail(health.detail)]


@check(
    "reranker-order",
    fails="The model has lost its head or its weights, or raw numbers are taken for probabilities.",
    remedy="serve a cross-encoder with one score per pair (docs/how-to/rerank.md)",
)
async def reranker_order(patient: Patient) -> list[Outcome]:
    """An answer scores above a text about something else, and scores have the form they should."""
    reranker = _well(patient)
    answer, unrelated = await reranker.rerank(QUESTION, [ANSWER, UNRELATED])
    told = f"an answer scores {answer:.4f}, a text about something else {unrelated:.4f}"
    if not answer > unrelated:
        return [fail(told)]
    if not reranker.info.raw and not 0 <= unrelated < answer <= 1:
        return [fail(f"{told}: these are no probabilities")]
    return [ok(told)]


def _well(patient: Patient) -> Reranker:
    if patient.reranker is None or "reranker" in patient.down:
        raise NotApplicable("there is no reranker to ask: see reranker-reachable")
    return patient.reranker


CHECKS: Final = (reranker_reachable, reranker_order)
