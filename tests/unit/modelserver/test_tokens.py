"""Cutting tokens, and the text that is left."""

import re

import pytest

from gateway.encoders.fake import FakeEncoder
from gateway.modelserver.tokens import (
    Token,
    counted_tokens,
    framed,
    kept,
    pattern_tokens,
    text_of,
)

pytestmark = pytest.mark.anyio

WORDS = pattern_tokens(re.compile(r"\S+"))


async def tokens_of(text: str, *, specials: bool = True) -> list[Token]:
    (row,) = await WORDS([text], specials)
    return row


@pytest.mark.parametrize(
    ("left", "words", "text"),
    [(False, ["один", "two"], "  один two"), (True, ["three", "four"], "three four ")],
)
async def test_special_tokens_stay_at_the_ends_and_content_goes_from_one_side(
    left: bool, words: list[str], text: str
) -> None:
    whole = "  один two three four "
    cut = kept(await tokens_of(whole), 4, left=left)
    assert [token.text for token in cut] == ["<bos>", *words, "<eos>"]
    assert text_of(whole, cut, left=left) == text


async def test_without_special_tokens_the_whole_limit_is_content() -> None:
    cut = kept(await tokens_of("a b c d", specials=False), 3, left=True)
    assert [token.text for token in cut] == ["b", "c", "d"]


@pytest.mark.parametrize("left", [False, True])
async def test_a_limit_that_holds_only_special_tokens_leaves_no_text(left: bool) -> None:
    cut = kept(await tokens_of("a b"), 2, left=left)
    assert [token.text for token in cut] == ["<bos>", "<eos>"]
    assert text_of("a b", cut, left=left) == ""
    assert kept(framed([], specials=True), 2, left=left) == framed([], specials=True)


async def test_the_same_word_has_the_same_id_everywhere() -> None:
    first, second = await WORDS(["red planet", "planet red"], False)
    assert [token.id for token in first] == [token.id for token in reversed(second)]


async def test_counted_tokens_are_as_many_as_the_encoder_counts_and_cover_the_text() -> None:
    encoder = FakeEncoder()
    texts = ["red planet", "", "мир!"]
    rows = await counted_tokens(encoder)(texts, True)
    assert [len(row) for row in rows] == await encoder.count_tokens(texts)
    assert (rows[2][1].start, rows[2][-2].stop) == (0, len("мир!".encode()))
