"""Checks of the reranker: over real HTTP, well, away, of another model, and with bad scores."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.doctor import Patient, Status, open_patient
from gateway.modelserver.contract import RERANKER
from gateway.rerankers.fake import FakeReranker
from gateway.settings import load_settings
from tests.support.patients import found_by, joined, status_of
from tests.support.tei_stub import TEIStub
from tests.support.word_scorer import WordScorer

pytestmark = pytest.mark.anyio

MODEL = "tiny/reranker"


class Upside(WordScorer):
    """Likes best what fits least."""

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        return -await super().scores(pairs)


class Raw(FakeReranker):
    """Says that its numbers are probabilities."""

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        return [9 * score - 2 for score in await super().rerank(query, texts)]


def serving(scorer: WordScorer) -> TEIStub:
    return TEIStub(reranker=scorer, model_type=RERANKER, model_id=MODEL)


@asynccontextmanager
async def patient_at(stub: TEIStub, **rerank: Any) -> AsyncGenerator[Patient]:
    section = {"urls": stub.url, "model": MODEL, "timeout_seconds": 20.0, **rerank}
    settings = load_settings({"store": "memory", "encoder": "fake", "rerank": section}, environ={})
    async with open_patient(settings) as patient:
        yield patient


@pytest.mark.parametrize("raw", [False, True])
async def test_a_well_reranker_is_named_and_scores_an_answer_first(raw: bool) -> None:
    with serving(WordScorer()) as stub:
        async with patient_at(stub, raw_scores=raw) as patient:
            (reachable,) = await found_by("reranker-reachable", patient)
            assert (reachable.status, MODEL in reachable.detail) == (Status.OK, True)
            assert await status_of("reranker-order", patient) is Status.OK


async def test_one_that_is_away_or_of_another_model_fails_and_is_asked_no_more() -> None:
    async with patient_at(serving(WordScorer())) as patient:
        assert await status_of("reranker-reachable", patient) is Status.FAIL
        assert await status_of("reranker-order", patient) is Status.SKIP
    with serving(WordScorer()) as stub:
        async with patient_at(stub, model="BAAI/bge-reranker-v2-m3") as patient:
            (finding,) = await found_by("reranker-reachable", patient)
            assert finding.status is Status.FAIL
            assert MODEL in finding.detail
            assert await status_of("reranker-order", patient) is Status.SKIP


async def test_one_that_prefers_what_does_not_answer_fails() -> None:
    with serving(Upside()) as stub:
        async with patient_at(stub) as patient:
            assert await status_of("reranker-reachable", patient) is Status.OK
            assert await status_of("reranker-order", patient) is Status.FAIL


async def test_numbers_that_are_no_probabilities_fail() -> None:
    patient = Patient.of(replace(joined(), reranker=Raw()))
    (finding,) = await found_by("reranker-order", patient)
    assert (finding.status, "no probabilities" in finding.detail) == (Status.FAIL, True)


async def test_without_a_reranker_there_is_nothing_to_look_at() -> None:
    for check in ("reranker-reachable", "reranker-order"):
        assert await status_of(check, Patient.of(joined())) is Status.SKIP
