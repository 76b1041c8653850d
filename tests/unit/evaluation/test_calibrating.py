"""Calibration: monotone, like scikit-learn's, honest about itself, kept with a collection."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.collections import CollectionSpec
from gateway.evaluation.calibrating import (
    MOST_POINTS,
    Fitted,
    Judged,
    calibrate,
    expected_error,
    fit,
    keep,
    losses_of,
    pooled,
)
from gateway.evaluation.results import (
    Configuration,
    Index,
    JudgedHit,
    Latency,
    QueryResult,
    Run,
)
from gateway.vectorstores.memory import MemoryStore

QUERIES = 60
HITS = 20


def sigmoid(scores: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-12 * (scores - 0.5)))


def drawn(seed: int = 0) -> Run:
    """A run whose hits are relevant with the probability that a known curve gives their score."""
    rng = np.random.default_rng(seed)
    results: list[QueryResult] = []
    for number in range(QUERIES):
        scores = np.sort(rng.random(HITS))[::-1]
        relevant = rng.random(HITS) < sigmoid(scores)
        hits = tuple(
            JudgedHit(float(score), bool(hit)) for score, hit in zip(scores, relevant, strict=True)
        )
        results.append(QueryResult(f"q{number}", {"ndcg@10": 0.5}, hits=hits))
    configuration = Configuration("dense", "dense", "p", "s", 768)
    index = Index(10, 10, 10, 10, 10)
    return Run(configuration, {"ndcg@10": 0.5}, {}, tuple(results), Latency(1, 2), index)


def judged_anew(run: Run, relevant: Callable[[JudgedHit], bool]) -> Run:
    """The run with other judgments of its hits."""
    queries = (
        replace(one, hits=tuple(replace(hit, relevant=relevant(hit)) for hit in one.hits))
        for one in run.queries
    )
    return replace(run, queries=tuple(queries))


def staged(run: Run, stage: str, **options: str) -> Run:
    configuration = replace(run.configuration, name=stage, stage=stage, options=options)
    return replace(run, configuration=configuration)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 5)), min_size=1, max_size=40))
def test_pooling_is_the_isotonic_regression_of_scikit_learn(
    rows: list[tuple[float, float]],
) -> None:
    isotonic = pytest.importorskip("sklearn.isotonic").isotonic_regression
    means, weights = (np.array(column) for column in zip(*rows, strict=True))
    np.testing.assert_allclose(
        pooled(means, weights), isotonic(means, sample_weight=weights), atol=1e-9
    )


def test_a_known_curve_is_found_again_with_few_points() -> None:
    (found,) = calibrate([drawn()]).found
    scores = np.linspace(0.1, 0.9, 9)
    told = found.calibration.probabilities_of(scores.tolist())
    np.testing.assert_allclose(told, sigmoid(scores), atol=0.12)
    assert len(found.calibration.scores) <= MOST_POINTS
    assert found.calibration.judged == QUERIES * HITS
    assert found.error < 0.05
    assert found.brier < 0.2


def test_what_is_told_of_held_out_queries_is_worse_than_of_those_it_was_fitted_on() -> None:
    """Pure noise: nothing can be learnt, and the error on held-out queries says so."""
    rng = np.random.default_rng(1)
    (found,) = calibrate([judged_anew(drawn(), lambda _: rng.random() < 0.5)]).found
    assert found.brier == pytest.approx(0.25, abs=0.02)


def test_a_map_never_falls_and_ties_are_one_point() -> None:
    judged = Judged(
        np.array([0.1, 0.1, 0.5, 0.5, 0.9]),
        np.array([1.0, 0.0, 0.0, 0.0, 1.0]),
        np.arange(5),
    )
    calibration = fit(judged)
    assert np.all(np.diff(calibration.probabilities) >= 0)
    assert len(set(calibration.scores)) == len(calibration.scores)
    assert calibration.probability(0.9) == 1.0
    assert calibration.probability(0.3) == pytest.approx(0.25)


def test_the_expected_error_is_the_mean_gap_of_the_bins() -> None:
    told = np.array([0.05, 0.05, 0.95, 0.95])
    assert expected_error(told, np.array([0.0, 0.0, 1.0, 1.0])) == pytest.approx(0.05)
    assert expected_error(told, np.array([1.0, 1.0, 0.0, 0.0])) == pytest.approx(0.95)


def test_runs_with_too_few_judged_hits_cost_no_other_and_have_a_remedy_each() -> None:
    run = drawn()
    few = replace(run, queries=run.queries[:3])
    barren = judged_anew(staged(run, "hybrid"), lambda _: False)
    fitted = calibrate([staged(few, "lexical"), few, barren, run])
    assert [one.stage for one in fitted.found] == ["dense"]
    words, vectors, unjudged = map(str, fitted.failures)
    assert words.startswith("60 hits of lexical search with ")
    assert "ask longer queries, whose words are in more chunks" in words
    assert vectors.endswith("it takes 100 and 20; judge more queries (gateway golden new)")
    assert unjudged.startswith("1200 hits of hybrid search with 0 relevant ones are too few")
    assert unjudged.endswith("or more documents of each (--judge)")


def test_scores_that_no_search_returns_are_not_calibrated() -> None:
    assert calibrate([staged(drawn(), "exact"), staged(drawn(), "dense+mmr")]) == Fitted(())


def test_a_map_says_what_its_searches_were_for_and_who_reranked() -> None:
    (found,) = calibrate(
        [staged(drawn(), "dense+rerank", task="fact_checking", reranker="m")]
    ).found
    assert found.stage == "dense+rerank"
    assert (found.calibration.task, found.calibration.reranker) == ("fact_checking", "m")


@pytest.mark.anyio
async def test_calibrations_are_kept_beside_those_of_other_stages() -> None:
    store = MemoryStore()
    await store.ensure(CollectionSpec("c", "p", "s", 8))
    (kept,) = await keep(store, "c", calibrate([drawn()]).found)
    await keep(store, "c", calibrate([staged(drawn(), "hybrid")]).found)
    assert set((await store.spec("c")).calibrations) == {"dense", "hybrid"}
    assert (kept.kept, kept.replaced) == ("c", None)


@pytest.mark.anyio
async def test_a_calibration_of_more_hits_that_is_replaced_is_told() -> None:
    store, run = MemoryStore(), drawn()
    await store.ensure(CollectionSpec("c", "p", "s", 8))
    large = calibrate([run]).found
    small = calibrate([replace(run, queries=run.queries[:30])]).found
    assert losses_of(await keep(store, "c", large)) == []
    (told,) = losses_of(await keep(store, "c", small))
    assert "dense search that 'c' had was of 1200 judged hits" in told
    assert "replaced by one of 600" in told
    assert losses_of(await keep(store, "c", large)) == []
