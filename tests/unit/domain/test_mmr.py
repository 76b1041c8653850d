"""Maximal marginal relevance against a naive reading of its formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.mmr import mmr, scaled


def rows(seed: int, count: int, size: int = 8) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def naive(relevance: list[float], vectors: np.ndarray, balance: float, count: int) -> list[int]:
    picked: list[int] = []
    while len(picked) < min(count, len(relevance)):
        left = [i for i in range(len(relevance)) if i not in picked]

        def worth(i: int) -> float:
            nearest = max((float(vectors[i] @ vectors[j]) for j in picked), default=0.0)
            return balance * relevance[i] - (1 - balance) * nearest

        picked.append(max(left, key=lambda i: (worth(i), -i)))
    return picked


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 20),
    balance=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
)
def test_it_picks_as_the_formula_says(seed: int, count: int, balance: float) -> None:
    vectors = rows(seed, count)
    relevance = np.random.default_rng(seed + 1).random(count).tolist()
    assert mmr(relevance, vectors, balance, count) == naive(relevance, vectors, balance, count)


def test_relevance_alone_keeps_the_order_and_a_duplicate_is_put_off() -> None:
    vectors = rows(1, 3)
    vectors[1] = vectors[0]
    assert mmr([0.9, 0.8, 0.1], vectors, 1.0, 3) == [0, 1, 2]
    assert mmr([0.9, 0.8, 0.1], vectors, 0.3, 3) == [0, 2, 1]


def test_no_more_is_picked_than_asked_and_nothing_of_nothing() -> None:
    assert mmr([0.1, 0.9], rows(2, 2), 0.5, 1) == [1]
    assert mmr([], rows(3, 0), 0.5, 5) == []


def test_scores_are_stretched_over_0_to_1_and_equal_ones_are_1() -> None:
    assert scaled([3.0, 1.0, 2.0]) == pytest.approx([1.0, 0.0, 0.5])
    assert scaled([2.0, 2.0]) == [1.0, 1.0]
    assert scaled([]) == []
