"""Where a text ends when it is cut: by the offsets of any tokenizer, counted again."""

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.encoders._cut import Span, cut
from gateway.encoders._tei_cut import cut_by_server, in_characters
from gateway.encoders.tei import Expectation, TEIEncoder
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

ANY = st.text(alphabet=st.sampled_from("ab \n火é🚀\u0301\u200d"), max_size=40)


async def characters(text: str) -> list[Span]:
    """A token per character between two special ones."""
    return [None, *((at, at + 1) for at in range(len(text))), None]


async def utf8(text: str) -> list[Span]:
    """A token per byte, each said to cover its whole character; so tokenizers tell byte fallback."""
    return [
        None,
        *((at, at + 1) for at, letter in enumerate(text) for _ in letter.encode()),
        None,
    ]


async def raw_bytes(text: str) -> list[Span]:
    """A token per byte, in byte offsets, as a server may tell it."""
    return [None, *((at, at + 1) for at in range(len(text.encode()))), None]


@pytest.mark.parametrize(
    ("text", "tokens", "kept"),
    [
        ("abcdef", 8, "abcdef"),
        ("abcdef", 7, "abcde"),
        ("abcdef", 3, "a"),
        ("abcdef", 2, ""),
        ("abcdef", 0, ""),
        ("", 0, ""),
    ],
)
async def test_special_tokens_count(text: str, tokens: int, kept: str) -> None:
    assert await cut(text, tokens, characters) == kept


@pytest.mark.parametrize(
    ("tokens", "kept"), [(9, "a🚀b火"), (8, "a🚀b"), (6, "a🚀b"), (5, "a🚀"), (4, "a")]
)
@pytest.mark.parametrize("told", ["characters", "bytes"])
async def test_no_character_is_parted(tokens: int, kept: str, told: str) -> None:
    text = "a🚀b火é"
    if told == "characters":
        assert await cut(text, tokens + 2, utf8) == kept
    else:
        assert await cut_by_server(text, tokens + 2, raw_bytes) == kept


async def test_a_beginning_that_reads_as_more_tokens_becomes_shorter() -> None:
    """Inside the text "abcd" is one token; cut off from its end, each of its letters is one."""

    async def greedy(text: str) -> list[Span]:
        found = [m.span() for m in re.finditer(r"abcd(?=abcde)|.", text)]
        return [None, *found, None]

    text = "abcd" * 6 + "e"
    kept = await cut(text, 7, greedy)
    assert text.startswith(kept)
    assert len(await greedy(kept)) <= 7
    assert kept


@given(ANY, st.integers(0, 50))
async def test_what_is_kept_is_the_longest_beginning_that_fits(text: str, tokens: int) -> None:
    for kept in (await cut(text, tokens, utf8), await cut_by_server(text, tokens, raw_bytes)):
        assert text.startswith(kept)
        assert not kept or len(kept.encode()) + 2 <= tokens
        if kept != text:
            assert len(text[: len(kept) + 1].encode()) + 2 > tokens


@given(ANY)
def test_byte_offsets_become_those_of_characters(text: str) -> None:
    edges = [0]
    for letter in text:
        edges.append(edges[-1] + len(letter.encode()))
    spans: Sequence[Span] = [None, *pairwise(edges)]

    assert in_characters(text, spans) == [None, *((at, at + 1) for at in range(len(text)))]


async def test_a_server_cuts_by_its_own_tokens() -> None:
    expect = Expectation(("google/embeddinggemma-300m",), 768, 2048, ("float32",))
    text = "красная планета — Mars, the red one " * 400
    with TEIStub() as stub:
        encoder = await TEIEncoder.connect([stub.url], expect=expect)
        kept = await encoder.cut(text, 2048)
        assert text.startswith(kept)
        assert await encoder.count_tokens([kept]) == [2048]
        assert len(kept.split()) == 2046
        await encoder.aclose()
