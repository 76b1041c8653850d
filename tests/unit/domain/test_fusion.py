"""Fusion by hand-computed cases, and the same answers as qdrant-client's own functions."""

import random
from uuid import UUID

import pytest
from qdrant_client import models
from qdrant_client.hybrid.fusion import distribution_based_score_fusion, reciprocal_rank_fusion

from gateway.domain.fusion import fuse, fuse_equals, rrf_score
from gateway.domain.search import Fusion, FusionMethod
from gateway.errors import InvalidRequest

A, B, C = (UUID(int=i) for i in (1, 2, 3))


def test_reciprocal_ranks_add_up_and_a_missing_rank_is_worth_nothing() -> None:
    fused = fuse([[(A, 9.0), (B, 8.0)], [(B, 0.3), (C, 0.2)]], Fusion(k=60))
    assert fused == pytest.approx({A: 1 / 61, B: 1 / 62 + 1 / 61, C: 1 / 62})
    assert fuse_equals([[(A, 1.0)], [(A, 1.0)], [(B, 1.0)]], 10) == pytest.approx(
        {A: 2 / 11, B: 1 / 11}
    )


def test_a_weight_stretches_the_ranks() -> None:
    assert rrf_score(4, 60, 2.0) == pytest.approx(1 / 62)
    assert rrf_score(1, 60, 0.0) == 0.0


def test_flat_or_single_scores_are_worth_half() -> None:
    fused = fuse([[(A, 5.0), (B, 5.0)], [(C, 1.0)]], Fusion(FusionMethod.DBSF))
    assert fused == {A: 0.5, B: 0.5, C: 0.5}
    assert fuse([[], []], Fusion(FusionMethod.DBSF)) == {}


def points(ranking: list[tuple[UUID, float]]) -> list[models.ScoredPoint]:
    return [
        models.ScoredPoint(id=str(key), version=0, score=score, payload={})
        for key, score in ranking
    ]


@pytest.mark.parametrize("seed", range(20))
def test_qdrants_own_functions_give_the_same_scores(seed: int) -> None:
    rng = random.Random(seed)
    halves: list[list[tuple[UUID, float]]] = []
    for _ in range(2):
        keys = rng.sample(range(1, 40), rng.randint(1, 25))
        scores = sorted((rng.uniform(-2, 20) for _ in keys), reverse=True)
        halves.append([(UUID(int=key), score) for key, score in zip(keys, scores, strict=True)])
    k, weights = rng.choice((2, 60)), rng.choice(([1.0, 1.0], [0.5, 3.0]))
    theirs = reciprocal_rank_fusion(
        [points(half) for half in halves], limit=100, ranking_constant_k=k + 1, weights=weights
    )
    ours = fuse(halves, Fusion(k=k, weights=(weights[0], weights[1])))
    assert {UUID(str(p.id)): p.score for p in theirs} == pytest.approx(ours)
    theirs = distribution_based_score_fusion([points(half) for half in halves], limit=100)
    ours = fuse(halves, Fusion(FusionMethod.DBSF))
    assert {UUID(str(p.id)): p.score for p in theirs} == pytest.approx(ours)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"k": 0}, "fusion.k"),
        ({"k": 10_001}, "fusion.k"),
        ({"weights": (-1.0, 1.0)}, "fusion.weights"),
        ({"weights": (0.0, 0.0)}, "fusion.weights"),
        ({"method": FusionMethod.DBSF, "weights": (1.0, 2.0)}, "fusion.weights"),
    ],
)
def test_a_fusion_without_sense_is_refused(bad: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Fusion(**bad)  # pyright: ignore[reportArgumentType]
    assert caught.value.field == field
