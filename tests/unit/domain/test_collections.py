"""What a collection says to those who ask for another form of it."""

from dataclasses import replace

import pytest

from gateway.domain.collections import CollectionSpec, require_same
from gateway.domain.lexical import Lexical
from gateway.errors import CollectionMismatch

SPEC = CollectionSpec("docs", "tiny", "space-1", 64, lexical=Lexical(k1=0.9), coarse=16)


@pytest.mark.parametrize(
    ("stored", "asked", "has", "wanted"),
    [
        (
            SPEC,
            replace(SPEC, lexical=None),
            "'docs' weighs words by BM25 (language auto, k1 0.9, b 0.75, average_words 100.0",
            "indexes no words:",
        ),
        (
            replace(SPEC, lexical=None),
            replace(SPEC, lexical=Lexical("greek", b=0.0)),
            "'docs' indexes no words",
            "weighs words by BM25 (language greek, k1 1.2, b 0.0, average_words 100.0",
        ),
        (
            SPEC,
            replace(SPEC, coarse=None),
            "has short vectors of size 16",
            "has no short vectors:",
        ),
        (
            replace(SPEC, coarse=None),
            SPEC,
            "has no short vectors",
            "has short vectors of size 16:",
        ),
    ],
    ids=["words", "no words", "short", "no short"],
)
def test_another_form_is_refused_in_words(
    stored: CollectionSpec, asked: CollectionSpec, has: str, wanted: str
) -> None:
    with pytest.raises(CollectionMismatch) as caught:
        require_same(stored, asked)
    is_so, _, asked_for = str(caught.value).partition(", and one was asked for that ")
    assert has in is_so
    assert asked_for.startswith(wanted)
    assert "None" not in str(caught.value)
