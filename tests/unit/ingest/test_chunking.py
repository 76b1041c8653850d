"""Chunks are exact pieces, complete together, and never above their budget."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.documents import Document
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.encoders.fake import FakeEncoder
from gateway.errors import ConfigurationError, InvalidDocument, InvalidText
from gateway.ingest.chunking import Chunker, Counter

FAKE = Embedder(EMBEDDING_GEMMA_300M, FakeEncoder()).document_counter()

PIECES = st.sampled_from(
    [
        *("word ", "Sätze mit Ümlaut. ", "и ещё слово ", "漢字仮名", "x" * 40),
        *("👩\u200d👩\u200d👧 ", "e\u0302\u0301 ", "🇩🇪", "\ufeff"),
        *("\r\n\r\n", "\n\n", "\n", "\t", "   ", "\u2028", "\x1c", "\u00a0"),
        *("# Heading\n\n", "## Sub\r\n", "```\n# code\n```\n", "- item\n", "> quote\n"),
        "| a | b |\n|---|---|\n| 1 | 2 |\n",
    ]
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=60).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=200),
)


def by_bytes(text: str, title: str | None) -> int:
    """A counter as a byte-level tokenizer has it, with three specials."""
    return len(text.encode()) + len((title or "").encode()) + 3


def by_whim(text: str, title: str | None) -> int:
    """A counter that is neither additive nor monotonic: longer texts may count less."""
    return 2 + len(text) // 3 + (sum(map(ord, text)) % 11 if len(text) > 1 else 0)


def by_runs(text: str, title: str | None) -> int:
    """A counter with very uneven density: digits are cheap, capitals dear."""
    return 2 + sum(20 if char.isupper() else 1 for char in text) // 5


def by_words(text: str, title: str | None) -> int:
    """A counter as WordPiece has it: a run without blanks is one unknown token, however long."""
    return 2 + len(text.split())


COUNTERS: list[Counter] = [FAKE, by_bytes, by_whim, by_runs, by_words]


@settings(max_examples=150, deadline=None)
@given(
    text=TEXTS,
    format_=st.sampled_from(["text", "markdown"]),
    counter=st.sampled_from(COUNTERS),
    budget=st.integers(24, 80),
    overlap=st.sampled_from([0, 0, 5, 12]),
)
def test_chunks_are_exact_complete_and_within_the_budget_of_any_counter(
    text: str, format_: str, counter: Counter, budget: int, overlap: int
) -> None:
    chunker = Chunker(counter, max_tokens=budget, overlap_tokens=overlap)
    plan = chunker.plan(Document("d", text, format=format_))
    covered = set[int]()
    last = (-1, -1)
    for index, chunk in enumerate(plan.chunks()):
        assert chunk.index == index
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text.strip()
        assert chunk.tokens == counter(chunk.text, None) <= budget
        assert len(chunk.text) <= chunker.most_characters
        assert chunk.document_chunks == len(plan)
        assert chunk.start >= last[0]
        assert chunk.end > last[1]
        if not overlap:
            assert chunk.start >= last[1]
        last = (chunk.start, chunk.end)
        covered.update(range(chunk.start, chunk.end))
    assert {i for i, char in enumerate(text) if not char.isspace()} <= covered
    assert plan.tokens == sum(chunk.tokens for chunk in plan.chunks())


def test_a_document_that_fits_is_one_chunk_of_its_whole_text() -> None:
    chunk = Chunker(FAKE).plan(Document("d", "  a few words \n", title="T"), "hash").chunks()[0]
    assert (chunk.text, chunk.start, chunk.end) == ("  a few words \n", 0, 15)
    assert chunk.tokens == FAKE("  a few words \n", "T")
    assert (chunk.title, chunk.content_hash) == ("T", "hash")


@pytest.mark.parametrize("text", ["", " \r\n\t", "\u00a0\u2003"])
def test_a_blank_document_has_no_chunks(text: str) -> None:
    assert len(Chunker(FAKE).plan(Document("d", text))) == 0


def test_the_title_counts_against_the_budget() -> None:
    text = "one two three four five six seven eight nine ten. " * 20
    bare = Chunker(FAKE, max_tokens=64).plan(Document("d", text))
    titled = Chunker(FAKE, max_tokens=64).plan(Document("d", text, title="word " * 30))
    assert len(titled) > len(bare)
    assert max(span.tokens for span in titled.spans) <= 64


def test_a_title_that_leaves_no_room_is_named() -> None:
    chunker = Chunker(FAKE, max_tokens=64)
    with pytest.raises(InvalidDocument, match=r"title takes .* of the 64 tokens") as caught:
        chunker.plan(Document("d", "text " * 100, title="word " * 80))
    assert caught.value.field == "title"


def test_a_prompt_that_leaves_no_room_is_named() -> None:
    with pytest.raises(InvalidDocument, match=r"raise ingest\.chunk_tokens"):
        Chunker(FAKE, max_tokens=5).plan(Document("d", "text " * 100))


@pytest.mark.parametrize("text", ["nul \x00", "lone \ud800"])
def test_a_text_that_no_tokenizer_takes_is_refused(text: str) -> None:
    with pytest.raises(InvalidText):
        Chunker(FAKE).plan(Document("d", text))


def test_the_limit_of_the_model_bounds_the_chunks() -> None:
    chunker = Chunker(FAKE, max_tokens=512, limit=40)
    assert chunker.budget == 40
    plan = chunker.plan(Document("d", "some words of text. " * 100))
    assert max(span.tokens for span in plan.spans) <= 40


@pytest.mark.parametrize(("size", "overlap"), [(64, 33), (64, -1), (0, 0)])
def test_sizes_that_leave_no_room_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ConfigurationError):
        Chunker(FAKE, max_tokens=size, overlap_tokens=overlap)


def test_neighbours_share_text_when_an_overlap_is_asked_for() -> None:
    text = " ".join(f"Sentence number {n} stands here." for n in range(200))
    plan = Chunker(FAKE, max_tokens=80, overlap_tokens=20).plan(Document("d", text))
    spans = list(plan.spans)
    shared = [a.end - b.start for a, b in itertools.pairwise(spans)]
    assert sum(overlap > 0 for overlap in shared) > len(shared) // 2


def test_chunks_of_prose_are_well_filled() -> None:
    text = "\n\n".join("A sentence of seven or eight words here. " * 6 for _ in range(60))
    plan = Chunker(FAKE, max_tokens=128).plan(Document("d", text))
    assert plan.tokens / len(plan) > 0.6 * 128


def test_counting_costs_about_two_calls_a_chunk() -> None:
    calls = 0

    def counting(text: str, title: str | None) -> int:
        nonlocal calls
        calls += 1
        return FAKE(text, title)

    text = "\n\n".join("Plain words in a paragraph of some length. " * 5 for _ in range(200))
    plan = Chunker(counting, max_tokens=128).plan(Document("d", text))
    assert calls <= 1.5 * len(plan) + 2


def test_a_long_document_with_uneven_density_stays_within_the_budget() -> None:
    text = "plain words here and there. " * 4000 + "漢字仮名交じり文。" * 4000 + "9" * 20_000
    plan = Chunker(by_bytes, max_tokens=256).plan(Document("d", text))
    assert max(span.tokens for span in plan.spans) <= 256
    assert len(plan) < 3 * by_bytes(text, None) / 256


@pytest.mark.parametrize("text", ["x" * 200_000, "a" + " " * 200_000 + "b", "z" * 64 * 64 + "."])
def test_a_text_that_counts_next_to_nothing_is_split_by_its_characters(text: str) -> None:
    plan = Chunker(by_words, max_tokens=64).plan(Document("d", text))
    assert max(span.end - span.start for span in plan.spans) <= 64 * 64
    assert len(plan) >= 2
    assert "".join("".join(chunk.text.split()) for chunk in plan.chunks()) == "".join(text.split())


MARKDOWN = """Preface.

# Guide

Intro of the guide with enough words to fill a chunk of its own, more or less, as tests go.

```sh
# not a heading
```

## Install

Words about installing the thing, enough of them to fill another chunk on their own here.

Setext title
------------

> # quoted heading

Words under the setext title, again enough of them to stand in a chunk of their own here.

# Other `code` *part*

Last words of the document, which stand under another heading of the first level.
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_each_chunk_carries_the_headings_in_force_where_it_begins(ending: str) -> None:
    text = MARKDOWN.replace("\n", ending)
    chunks = Chunker(FAKE, max_tokens=36).plan(Document("d", text, format="markdown")).chunks()
    assert len(chunks) >= 4
    places: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    for mark, path in [
        ("# Guide", ("Guide",)),
        ("## Install", ("Guide", "Install")),
        ("Setext title", ("Guide", "Setext title")),
        ("# Other", ("Other code part",)),
    ]:
        places.append((text.index(mark), path))
    for chunk in chunks:
        expected = [path for start, path in places if start <= chunk.start][-1]
        assert chunk.heading_path == expected
    assert chunks[-1].heading_path == ("Other code part",)


def test_a_chunk_that_begins_with_a_heading_stands_under_it() -> None:
    text = "# A\n\nshort\n\n## B\n\n" + "words of b. " * 40
    paths = [
        (chunk.text[:4], chunk.heading_path)
        for chunk in Chunker(FAKE, max_tokens=60)
        .plan(Document("d", text, format="markdown"))
        .chunks()
    ]
    assert paths[0] == ("# A\n", ("A",))
    assert ("## B", ("A", "B")) in paths
    assert paths[-1][1] == ("A", "B")


def test_plain_text_has_no_headings() -> None:
    plan = Chunker(FAKE).plan(Document("d", "# not markdown\n\ntext"))
    assert plan.chunks()[0].heading_path == ()
