"""Options of `gateway search` and `gateway collections create` that mean something only together."""

from typing import Any

import pytest

from gateway.cli._search_options import coarse_of, fusion_of, rerank_of
from gateway.cli.collections import lexical_of
from gateway.cli.ingest import parse_fields
from gateway.domain.lexical import Lexical
from gateway.domain.search import Fusion, FusionMethod
from gateway.errors import InvalidRequest
from gateway.retrieval.collections import UNSET, Unset
from gateway.retrieval.query import Mode, OnFailure, Rerank
from gateway.settings import Settings, load_settings

EVEN = (1.0, 1.0)


def settings(**sections: Any) -> Settings:
    return load_settings(sections, environ={})


@pytest.mark.parametrize(
    ("flag", "size", "expected"),
    [
        (None, None, None),
        (True, None, True),
        (False, None, False),
        (None, 128, 128),
        (True, 64, 64),
    ],
)
def test_a_first_pass_is_asked_for_with_or_without_a_size(
    flag: bool | None, size: int | None, expected: bool | int | None
) -> None:
    found = coarse_of(flag, size)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("method", "mode", "several"),
    [
        (FusionMethod.RRF, Mode.AUTO, False),
        (FusionMethod.RRF, Mode.HYBRID, False),
        (FusionMethod.RRF, Mode.DENSE, True),
        (FusionMethod.DBSF, Mode.AUTO, True),
    ],
)
def test_a_rank_constant_is_taken_where_ranks_are_fused(
    method: FusionMethod, mode: Mode, several: bool
) -> None:
    assert fusion_of(method, EVEN, 7, mode=mode, several=several) == Fusion(method, 7, EVEN)


def test_without_a_rank_constant_the_usual_one_holds() -> None:
    found = fusion_of(FusionMethod.RRF, (1.0, 0.5), None, mode=Mode.AUTO, several=False)
    assert found == Fusion(weights=(1.0, 0.5))
    assert fusion_of(FusionMethod.RRF, EVEN, None, mode=Mode.DENSE, several=False) == Fusion()


@pytest.mark.parametrize(
    ("flag", "candidates", "on_failure", "expected"),
    [
        (None, None, None, None),
        (True, None, None, True),
        (False, None, None, False),
        (None, 10, None, Rerank(10, OnFailure.SKIP)),
        (True, None, OnFailure.ERROR, Rerank(20, OnFailure.ERROR)),
        (True, 10, OnFailure.ERROR, Rerank(10, OnFailure.ERROR)),
    ],
)
def test_what_is_not_said_of_reranking_is_as_the_settings_say(
    flag: bool | None,
    candidates: int | None,
    on_failure: OnFailure | None,
    expected: Rerank | bool | None,
) -> None:
    usual = settings(rerank={"candidates": 20, "on_failure": "skip"})
    assert rerank_of(flag, candidates, on_failure, usual) == expected


REFUSED = [
    (lambda: coarse_of(False, 128), "--no-coarse"),
    (lambda: fusion_of(FusionMethod.RRF, EVEN, 0, mode=Mode.AUTO, several=False), "1-10000"),
    (lambda: fusion_of(FusionMethod.RRF, EVEN, 7, mode=Mode.DENSE, several=False), "--also"),
    (lambda: fusion_of(FusionMethod.DBSF, EVEN, 7, mode=Mode.AUTO, several=False), "--fusion rrf"),
    (lambda: parse_fields(["a:integer", "a:keyword"]), "'a' twice"),
    (lambda: rerank_of(False, 10, None, settings()), "--no-rerank"),
    (lambda: rerank_of(False, None, OnFailure.SKIP, settings()), "--no-rerank"),
    (lambda: lexical_of(False, {"k1": 0.9, "average_words": 40.0}, settings()), "--average-words"),
    (lambda: lexical_of(None, {"k1": 11.0}, settings()), "k1 is 11.0; take 0-10"),
]


@pytest.mark.parametrize(("made", "remedy"), REFUSED, ids=[remedy for _, remedy in REFUSED])
def test_options_that_contradict_each_other_are_refused_with_the_remedy(
    made: Any, remedy: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        made()
    assert remedy in str(caught.value)


RUSSIAN = {"collections": {"language": "russian"}}
WORDLESS = {"collections": {"lexical": False, "language": "russian"}}


@pytest.mark.parametrize(
    ("sections", "flag", "weighed", "expected"),
    [
        ({}, None, {}, UNSET),
        ({}, True, {}, True),
        (RUSSIAN, False, {}, None),
        (WORDLESS, None, {}, UNSET),
        (WORDLESS, True, {}, True),
        (WORDLESS, None, {"b": 0.4}, Lexical("russian", b=0.4)),
        (RUSSIAN, None, {"k1": 0.9, "language": None}, Lexical("russian", k1=0.9)),
        (RUSSIAN, True, {"language": "greek", "b": 0.0}, Lexical("greek", b=0.0)),
    ],
)
def test_words_are_weighed_as_it_is_said_and_else_as_the_settings_say(
    sections: dict[str, Any],
    flag: bool | None,
    weighed: dict[str, Any],
    expected: Lexical | Unset | bool | None,
) -> None:
    assert lexical_of(flag, weighed, settings(**sections)) == expected
