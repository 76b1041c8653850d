"""What a collection says to those who ask for another form of it."""

from dataclasses import replace

import pytest

from gateway.domain.collections import CollectionSpec, Lexical, require_same
from gateway.errors import CollectionMismatch

SPEC = CollectionSpec("docs", "tiny", "space-1", 64, lexical=Lexical(k1=0.9), coarse=16)


@pytest.mark.parametrize(
    ("stored", "asked", "said"),
    [
        (
            SPEC,
            replace(SPEC, lexical=None),
            "'docs' weighs words by BM25 (language auto, k1 0.9, b 0.75, average_words 100.0), and one was "
            "asked for that indexes no words:",
        ),
        (
            replace(SPEC, lexical=None),
            replace(SPEC, lexical=Lexical("greek", b=0.0)),
            "'docs' indexes no words, and one was asked for that weighs words by BM25 (language "
            "greek, k1 1.2, b 0.0, average_words 100.0):",
        ),
        (
            SPEC,
            replace(SPEC, coarse=None),
            "has short vectors of size 16, and one was asked for that has no short vectors:",
        ),
        (
            replace(SPEC, coarse=None),
            SPEC,
            "has no short vectors, and one was asked for that has short vectors of size 16:",
        ),
    ],
    ids=["words", "no words", "short", "no short"],
)
def test_another_form_is_refused_in_words(
    stored: CollectionSpec, asked: CollectionSpec, said: str
) -> None:
    with pytest.raises(CollectionMismatch) as caught:
        require_same(stored, asked)
    assert said in str(caught.value)
    assert "None" not in str(caught.value)
