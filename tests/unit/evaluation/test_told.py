"""What a reader is told beside the figures."""

from gateway.evaluation.told import worse_together
from tests.support.golden_sets import made_run


def values(good: int, bad: int) -> dict[str, float]:
    return {str(i): 1.0 for i in range(good)} | {str(i): 0.2 for i in range(good, good + bad)}


def test_a_half_that_ranks_better_than_both_is_told() -> None:
    """An English model under Russian words: hybrid loses most of what words alone find."""
    runs = [made_run("dense", values(5, 25)), made_run("lexical", values(28, 2))]
    told = worse_together([*runs, made_run("hybrid", values(15, 15))])
    assert len(told) == 1
    assert told[0].startswith(
        "lexical search alone ranks better than hybrid (ndcg@10 +0.3467, p = "
    )
    assert "search by mode lexical" in told[0]


def test_halves_of_a_sweep_are_held_against_hybrid_runs_of_the_same_form() -> None:
    small = [
        made_run("dense 128 int8 (k=v)", values(5, 25), size=128, quantization="int8"),
        made_run("hybrid 128 int8 (k=v)", values(15, 15), size=128, quantization="int8"),
    ]
    large = [
        made_run("dense 512 none (k=v)", values(28, 2), size=512),
        made_run("hybrid 512 none (k=v)", values(14, 16), size=512),
    ]
    (told,) = worse_together([*small, *large])
    assert told.startswith("dense search alone ranks better than hybrid 512 none (k=v) (ndcg@10 ")
    words = made_run("lexical (k=v)", values(29, 1), size=128, quantization="int8")
    told = worse_together([*small, *large, words])[1]
    assert told.startswith(
        "lexical search alone ranks better than hybrid 512 none (k=v) and 1 more"
    )
    reranked = made_run("hybrid+rerank 512 none", values(5, 25), size=512)
    assert worse_together([large[0], words, reranked]) == []


def test_chance_is_not_told() -> None:
    runs = [made_run("lexical", values(16, 14)), made_run("hybrid", values(15, 15))]
    assert worse_together(runs) == []
    assert worse_together(runs[:1]) == []
