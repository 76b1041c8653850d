"""The recommendation: the fewest bytes that are good enough, and the reason."""

import re

import pytest

from gateway.evaluation.plots import quality_against_bytes
from gateway.evaluation.recommend import frontier, recommend
from gateway.evaluation.results import Run
from tests.support.golden_sets import made_run


def runs() -> list[Run]:
    figures = [(768, 0.700), (512, 0.698), (256, 0.692), (128, 0.640)]
    return [
        made_run(f"dense {size}", {"q1": value, "q2": value}, size=size, searched=size * 4)
        for size, value in figures
    ]


@pytest.mark.parametrize(
    ("drop", "budget", "chosen"),
    [
        (None, None, "dense 256"),
        (0.0, None, "dense 768"),
        (0.005, None, "dense 512"),
        (0.1, None, "dense 128"),
        (None, 600, "dense 128"),
        (0.005, 1024, "dense 256"),
        (None, 4096, "dense 256"),
    ],
)
def test_the_cheapest_that_is_close_or_the_best_that_fits(
    drop: float | None, budget: int | None, chosen: str
) -> None:
    found = recommend(runs(), max_drop=drop, max_bytes_per_chunk=budget)
    assert found is not None
    assert found.run == chosen


def test_the_reason_names_figures_and_the_best() -> None:
    found = recommend(runs())
    assert found is not None
    assert found.why.startswith("ndcg@10 0.6920 with 1024 bytes a chunk, the fewest within 0.01")
    assert "dense 768, has 0.7000 with 3072 (difference -0.0080, p = " in found.why
    tight = recommend(runs(), max_bytes_per_chunk=600)
    assert tight is not None
    assert "the best within 600 bytes, though not within 0.01 of the best" in tight.why
    best = recommend(runs(), max_drop=0.0)
    assert best is not None
    assert "the best of all, and no run with fewer bytes is within 0 of it" in best.why


def test_nothing_fits_a_budget_of_a_few_bytes() -> None:
    assert recommend(runs(), max_bytes_per_chunk=10) is None


def test_a_search_by_words_is_the_best_where_it_is() -> None:
    words = made_run("lexical", {"q1": 0.9, "q2": 0.9}, searched=400)
    found = recommend([*runs(), words])
    assert found is not None
    assert found.run == "lexical"
    assert found.why.startswith("ndcg@10 0.9000 with 400 bytes a chunk: the best of all")
    assert found.frontier == ("lexical",)
    tight = recommend(
        [*runs(), made_run("dense 32", {"q1": 0.5, "q2": 0.5}, searched=128), words],
        max_bytes_per_chunk=256,
    )
    assert tight is not None
    assert tight.run == "dense 32"
    assert "the best, lexical, has 0.9000 with 400 (difference -0.4000, p = " in tight.why


def test_of_equals_the_one_with_the_fewest_bytes_is_the_best() -> None:
    equal = [made_run("dense 768"), made_run("dense 128", size=128, searched=512)]
    found = recommend(equal)
    assert found is not None
    assert found.why.startswith("ndcg@10 0.7500 with 512 bytes a chunk: the best of all")


def test_the_frontier_holds_what_nothing_beats() -> None:
    beaten = made_run("dense 300", {"q1": 0.6, "q2": 0.6}, searched=1200)
    same_bytes = made_run("hybrid 256", {"q1": 0.695, "q2": 0.695}, searched=1024)
    found = frontier([*runs(), beaten, same_bytes])
    assert found == ("dense 128", "hybrid 256", "dense 512", "dense 768")


@pytest.mark.parametrize("values", [(0.2646, 0.9739), (0.99, 1.0), (0.0, 0.004), (0.7, 0.7)])
def test_the_picture_names_the_frontier_on_a_scale_of_round_figures(
    values: tuple[float, float],
) -> None:
    few, many = (
        made_run(f"run {size}", {"q": value}, size=size, searched=size)
        for size, value in zip((128, 512), values, strict=True)
    )
    edge = frontier([few, many])
    drawn = quality_against_bytes([few, many], edge)
    words = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    scale = [float(word) for word in words if re.fullmatch(r"[01](\.\d+)?", word)]
    assert [word for word in words if word.startswith("run")] == [
        name for name in ("run 128", "run 512") if name in edge
    ]
    assert min(scale) <= min(values)
    assert max(values) <= max(scale) <= 1
    assert all(len(f"{figure:g}") <= 4 for figure in scale)
