"""Measures held to 4 decimals against independent code: scikit-learn, sentence-transformers, our own."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from gateway.errors import InvalidRequest
from gateway.evaluation.measures import MEASURES, falling, means, measure, require_measure
from gateway.evaluation.qrels import HIGHEST
from gateway.evaluation.results import Ranked
from tests.support.beir import golden_set
from tests.support.golden_sets import ranking

Grades = Mapping[str, Mapping[str, int]]
Rankings = Mapping[str, Sequence[Ranked]]


def made_up(queries: int, documents: int, most: int, *, seed: int = 3) -> tuple[Grades, Rankings]:
    """Judgments with grades 0 to `most`, and rankings that find some of the relevant, with ties."""
    random = np.random.default_rng(seed)
    names = [f"d{i}" for i in range(documents)]
    qrels: dict[str, dict[str, int]] = {}
    rankings: dict[str, tuple[Ranked, ...]] = {}
    for number in range(queries):
        judged: list[int] = random.permutation(documents)[:12].tolist()
        grades = {names[i]: int(random.integers(0, most + 1)) for i in judged}
        grades[names[judged[0]]] = most
        qrels[f"q{number}"] = grades
        liked = np.array([grades.get(name, 0) for name in names])
        scores = np.round(liked * 0.3 + random.normal(0, 0.5, documents), 1)
        order: list[int] = np.argsort(-scores, kind="stable")[:100].tolist()
        rankings[f"q{number}"] = tuple(Ranked(names[i], float(scores[i])) for i in order)
    return qrels, rankings


def naive(grades: Mapping[str, int], ids: Sequence[str]) -> dict[str, float]:
    """Every measure by its textbook formula, linear gain."""
    relevant = {key for key, grade in grades.items() if grade > 0}
    found = [key in relevant for key in ids]
    gains = [grades.get(key, 0) / math.log2(place + 2) for place, key in enumerate(ids[:10])]
    ideal = sorted(grades.values(), reverse=True)[:10]
    best = sum(grade / math.log2(place + 2) for place, grade in enumerate(ideal))
    first = next((place for place, hit in enumerate(found[:10], start=1) if hit), None)
    precisions = [sum(found[: i + 1]) / (i + 1) for i, hit in enumerate(found) if hit]
    values = {
        "ndcg@10": sum(gains) / best,
        "mrr@10": 1 / first if first else 0.0,
        "map": sum(precisions) / len(relevant),
    }
    values |= {f"recall@{k}": sum(found[:k]) / len(relevant) for k in (1, 5, 10, 100)}
    return values | {f"success@{k}": float(any(found[:k])) for k in (1, 5, 10)}


@pytest.mark.parametrize("most", [1, 3, HIGHEST], ids=["binary", "graded", "highest"])
def test_every_measure_agrees_with_its_formula(most: int) -> None:
    qrels, rankings = made_up(60, 300, most)
    found = measure(qrels, rankings)
    for query, grades in qrels.items():
        expected = naive(grades, [hit.document_id for hit in rankings[query]])
        assert set(expected) == set(MEASURES)
        assert found[query] == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("most", [1, 3], ids=["binary", "graded"])
def test_ndcg_agrees_with_scikit_learn(most: int) -> None:
    from sklearn.metrics import ndcg_score  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    qrels, rankings = made_up(40, 200, most, seed=8)
    found = measure(qrels, rankings, ["ndcg@10"])
    for query, grades in qrels.items():
        names = sorted({*grades, *(hit.document_id for hit in rankings[query])})
        places = {hit.document_id: place for place, hit in enumerate(rankings[query])}
        truth = [[grades.get(name, 0) for name in names]]
        scores = [[-places.get(name, 1_000) for name in names]]
        assert found[query]["ndcg@10"] == pytest.approx(ndcg_score(truth, scores, k=10), abs=5e-5)


@pytest.mark.parametrize("name", ["scifact", "made up"])
def test_binary_measures_agree_with_sentence_transformers(name: str) -> None:
    """The evaluator that publishes most models' figures, over its own code."""
    pytest.importorskip("sentence_transformers", reason="needs the extra `local`")
    from sentence_transformers.sentence_transformer.evaluation import (  # noqa: PLC0415
        InformationRetrievalEvaluator,
    )

    qrels, rankings = scifact() if name == "scifact" else made_up(50, 400, 1, seed=5)
    relevant = {q: {d for d, g in row.items() if g > 0} for q, row in qrels.items()}
    judge: Any = InformationRetrievalEvaluator(
        queries=dict.fromkeys(qrels, ""),
        corpus={"d": ""},
        relevant_docs=relevant,
        mrr_at_k=[10],
        ndcg_at_k=[10],
        accuracy_at_k=[1, 5, 10],
        precision_recall_at_k=[1, 5, 10, 100],
        map_at_k=[100],
    )
    hits = [
        [{"corpus_id": hit.document_id, "score": -float(at)} for at, hit in enumerate(rankings[q])]
        for q in judge.queries_ids
    ]
    theirs = judge.compute_metrics(hits)
    ours = means(measure(qrels, rankings), MEASURES)
    recalls = theirs["recall@k"]
    assert ours["ndcg@10"] == pytest.approx(theirs["ndcg@k"][10], abs=5e-5)
    assert ours["mrr@10"] == pytest.approx(theirs["mrr@k"][10], abs=5e-5)
    for depth in (1, 5, 10):
        assert ours[f"success@{depth}"] == pytest.approx(theirs["accuracy@k"][depth], abs=5e-5)
    for depth in (1, 5, 10, 100):
        assert ours[f"recall@{depth}"] == pytest.approx(recalls[depth], abs=5e-5)


def scifact() -> tuple[Grades, Rankings]:
    """The set's judgments, and rankings that share words with the claims: any will do."""
    golden = golden_set("scifact")
    random = np.random.default_rng(11)
    others = sorted({d for row in golden.qrels.values() for d in row})
    rankings: dict[str, tuple[Ranked, ...]] = {}
    for query, row in golden.qrels.items():
        picked: list[int] = random.permutation(len(others))[:60].tolist()
        drawn = [others[i] for i in picked]
        mixed = list(dict.fromkeys([*drawn, *row]))
        order: list[int] = random.permutation(len(mixed)).tolist()
        rankings[query] = ranking(*(mixed[i] for i in order[: int(random.integers(5, len(mixed)))]))
    return golden.qrels, rankings


def test_the_order_of_a_ranking_counts_and_not_its_scores() -> None:
    """trec_eval alone would put the higher document id first among equal scores."""
    qrels = {"q": {"a": 1, "b": 0}}
    tied = ranking("a", "b", scores=[0.5, 0.5])
    assert measure(qrels, {"q": tied})["q"]["ndcg@10"] == 1.0
    assert measure(qrels, {"q": tied[::-1]})["q"]["mrr@10"] == 0.5


def test_a_query_without_hits_counts_as_zero() -> None:
    qrels = {"q1": {"a": 1}, "q2": {"b": 1}}
    found = measure(qrels, {"q1": ranking("a")})
    assert set(found["q2"].values()) == {0.0}
    assert means(found, ["ndcg@10"]) == {"ndcg@10": 0.5}
    assert measure(qrels, {"q1": ()})["q1"]["map"] == 0.0


def test_unjudged_documents_count_as_not_relevant() -> None:
    found = measure({"q": {"a": 1}}, {"q": ranking("x", "a")}, ["ndcg@10", "mrr@10"])["q"]
    assert found == pytest.approx({"ndcg@10": 1 / math.log2(3), "mrr@10": 0.5})


def test_scores_fall_strictly_in_float32() -> None:
    given = [1.0, 1.0, 1.0, 0.5, 0.5000001, -2.0, -2.0]
    fallen = np.array(falling(given), np.float32)
    assert (np.diff(fallen) < 0).all()
    assert fallen == pytest.approx(given, abs=1e-5)


@pytest.mark.parametrize("name", ["ndcg", "map@10", "recall@0", "precision@5", "ndcg@10.5", ""])
def test_unknown_measures_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is no measure; take ndcg@10"):
        require_measure(name)


def test_any_cutoff_may_be_asked_for() -> None:
    found = measure({"q": {"a": 1}}, {"q": ranking("x", "y", "a")}, ["recall@2", "success@3"])
    assert found["q"] == {"recall@2": 0.0, "success@3": 1.0}
