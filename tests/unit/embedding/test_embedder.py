"""Policy over an encoder: prompts, budget, checks, the cut; nothing is lost or rewritten."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_2, EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.texts import Input
from gateway.encoders.fake import FakeEncoder
from gateway.errors import (
    ConfigurationError,
    DegenerateVector,
    DoublePrompt,
    InputTooLong,
    InvalidRequest,
    InvalidText,
    UnknownTask,
    UnsupportedDtype,
    UnsupportedSize,
)
from gateway.events import Embedded, Event
from tests.support.scripted import ScriptedEncoder, inputs, ones, with_row

pytestmark = pytest.mark.anyio

GEMMA = EMBEDDING_GEMMA_300M
QUERY_TOKENS = 9
"""Of the fake: four words and three marks of the query prompt, and two specials."""


async def test_vectors_are_unit_float32_rows_in_order_and_512_by_default() -> None:
    embedder = Embedder(GEMMA, FakeEncoder())

    many = await embedder.embed("query", inputs("red planet", "fish soup", "chess"))
    one = await embedder.embed_one("query", "fish soup")

    assert many.vectors.shape == (3, 512)
    assert many.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(many.vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(many.vectors[1:2], one.vectors)
    assert many.tokens == 3 * QUERY_TOKENS + 5


@pytest.mark.parametrize("size", GEMMA.sizes)
async def test_every_size_is_the_prefix_of_the_full_vector(size: int) -> None:
    embedder = Embedder(GEMMA, FakeEncoder())

    full = (await embedder.embed("document", inputs("red planet"), size=768)).vectors[:, :size]
    cut = (await embedder.embed("document", inputs("red planet"), size=size)).vectors

    np.testing.assert_allclose(cut, full / np.linalg.norm(full), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [0, 300, 1024, -512])
async def test_a_size_the_model_was_not_trained_for_is_refused(size: int) -> None:
    encoder = ScriptedEncoder()

    with pytest.raises(UnsupportedSize, match="768, 512, 256, 128"):
        await Embedder(GEMMA, encoder).embed("query", inputs("x"), size=size)
    assert not encoder.read


READABLE = st.builds(
    "{}{}{}".format,
    st.text(st.characters(exclude_categories=["C"])),
    st.characters(exclude_categories=["C", "Z"]),  # a text of blanks alone is refused
    st.text(st.characters(exclude_categories=["C"])),
)
"""Any text that can be embedded: no control characters or lone surrogates, not blank."""


@given(
    st.lists(
        st.tuples(
            READABLE,
            st.sampled_from([None, " T ", "two\r\nlines", "Ода"]),
        ),
        max_size=5,
    )
)
def test_the_encoder_reads_prompt_title_and_text_as_they_are(
    items: list[tuple[str, str | None]],
) -> None:
    encoder = ScriptedEncoder()
    documents = [Input(text, title) for text, title in items]

    asyncio.run(Embedder(GEMMA, encoder).embed("document", documents, allow_prompted=True))

    assert [text for batch in encoder.read for text in batch] == [
        f"title: {'none' if title is None else title} | text: {text}" for text, title in items
    ]


@pytest.mark.parametrize("text", ["  x  ", "a\r\nb", "a\n\nb\n", "\ttab", "nbsp\u00a0", "e\u0301"])
async def test_no_blank_or_newline_is_rewritten(text: str) -> None:
    encoder = ScriptedEncoder()

    await Embedder(GEMMA, encoder).embed("query", inputs(text))

    assert encoder.read == [["task: search result | query: " + text]]


async def test_prompted_texts_are_refused_unless_they_are_meant() -> None:
    encoder = ScriptedEncoder()
    embedder = Embedder(GEMMA, encoder)
    prompted = inputs("fine", "task: search result | query: x")

    with pytest.raises(DoublePrompt, match="allow_prompted") as refused:
        await embedder.embed("query", prompted)
    assert refused.value.index == 1
    assert not encoder.read

    await embedder.embed("query", prompted, allow_prompted=True)
    assert encoder.read[0][1] == "task: search result | query: " * 2 + "x"


@pytest.mark.parametrize(
    ("item", "field", "told"),
    [
        (Input(""), "text", "text of input 1 is empty; send a text or leave the input out"),
        (Input(" \t\r\n\u00a0\u3000"), "text", "text of input 1 is blank"),
        (Input("a\x00b"), "text", "NUL"),
        (Input("a\ud800b"), "text", "lone surrogate at character 1"),
        (Input("a", ""), "title", "is empty; send a title or leave the title out"),
        (Input("a", " \n"), "title", "title of input 1 is blank"),
        (Input("a", "b\x00"), "title", "NUL"),
        (Input("a", "\udfff"), "title", "lone surrogate"),
    ],
)
async def test_what_is_not_text_is_refused_by_index_and_field(
    item: Input, field: str, told: str
) -> None:
    with pytest.raises(InvalidText, match=told) as refused:
        await Embedder(GEMMA, ScriptedEncoder()).embed("document", [Input("ok"), item])

    assert (refused.value.index, refused.value.field) == (1, field)


async def test_unknown_tasks_and_titled_queries_are_refused() -> None:
    embedder = Embedder(GEMMA, ScriptedEncoder())

    with pytest.raises(UnknownTask) as unknown:
        await embedder.embed("search", inputs("x"))
    with pytest.raises(InvalidRequest, match="takes no title") as titled:
        await embedder.embed("query", [Input("x"), Input("x", "T")])
    assert (unknown.value.field, unknown.value.index) == ("task", None)
    assert (titled.value.field, titled.value.index) == ("title", 1)


async def test_the_budget_counts_the_prompt_and_is_exact() -> None:
    encoder = FakeEncoder(max_tokens=2048)
    embedder = Embedder(GEMMA, encoder)
    fits = " ".join(["word"] * (2048 - QUERY_TOKENS))

    assert (await embedder.embed("query", inputs(fits))).tokens == 2048
    with pytest.raises(InputTooLong, match="input 1 has 2049 tokens with its prompt") as refused:
        await embedder.embed("query", inputs("short", fits + " word"))
    assert refused.value.index == 1


async def test_the_title_is_part_of_the_budget() -> None:
    embedder = Embedder(GEMMA, FakeEncoder(max_tokens=40))
    text = " ".join(["word"] * 30)

    await embedder.embed("document", [Input(text)])
    with pytest.raises(InputTooLong):
        await embedder.embed("document", [Input(text, "a title of six words here")])


async def test_the_smaller_limit_of_model_and_encoder_holds() -> None:
    small = Embedder(GEMMA, ScriptedEncoder(max_tokens=64))
    large = Embedder(ALL_MINILM_L6_V2, ScriptedEncoder(size=384, max_tokens=512))

    assert (small.max_tokens, large.max_tokens) == (64, 256)
    with pytest.raises(InputTooLong, match="reads 256"):
        await large.embed("query", inputs("x" * 257))
    await large.embed("query", inputs("x" * 256))


async def test_texts_that_cannot_exceed_the_limit_are_not_counted() -> None:
    encoder = ScriptedEncoder(max_tokens=2048)

    await Embedder(GEMMA, encoder).embed("query", inputs("x" * 500, "y" * 2015, "я" * 900))

    assert [[text[-1] for text in texts] for texts in encoder.counted] == [["y"]]


async def test_a_refusal_of_the_encoder_names_the_input_of_the_caller() -> None:
    embedder = Embedder(GEMMA, ScriptedEncoder(refuses="dense"), window=4)

    with pytest.raises(InputTooLong, match="input 6 is too much for me") as refused:
        await embedder.embed("query", inputs(*"abcdef", "dense", "g"))

    assert refused.value.index == 6


async def test_a_refusal_without_an_index_passes_as_it_is() -> None:
    def refuse(count: int) -> NDArray[Any]:
        raise InputTooLong(f"one of {count} is too long")

    with pytest.raises(InputTooLong, match=r"^one of 2 is too long$") as refused:
        await Embedder(GEMMA, ScriptedEncoder(refuse)).embed("query", inputs("a", "b"))

    assert refused.value.index is None


async def test_inputs_are_encoded_in_windows_and_joined_in_order() -> None:
    texts = [f"text number {number}" for number in range(23)]
    encoder = ScriptedEncoder()

    await Embedder(GEMMA, encoder, window=10).embed("query", inputs(*texts))
    whole = await Embedder(GEMMA, FakeEncoder()).embed("query", inputs(*texts))
    parts = await Embedder(GEMMA, FakeEncoder(), window=5).embed("query", inputs(*texts))

    assert [len(batch) for batch in encoder.read] == [10, 10, 3]
    np.testing.assert_array_equal(whole.vectors, parts.vectors)
    assert whole.tokens == parts.tokens


async def test_no_inputs_give_no_rows() -> None:
    result = await Embedder(GEMMA, ScriptedEncoder()).embed("query", [])

    assert result.vectors.shape == (0, 512)
    assert result.tokens == 0


@pytest.mark.parametrize(
    ("answer", "told", "index"),
    [
        (with_row(1, np.nan), "no direction", 1),
        (with_row(2, np.inf), "no direction", 2),
        (with_row(0, 0.0), "no direction", 0),
        (ones(384), r"got \(3, 384\)", None),
        (ones(extra=-1), r"got \(2, 768\)", None),
        (ones(extra=1), r"got \(4, 768\)", None),
        (ones(dtype=np.float64), "got float64", None),
        (ones(dtype=np.float16), "got float16", None),
    ],
    ids=["nan", "inf", "zero", "short", "few", "many", "float64", "float16"],
)
async def test_broken_vectors_never_leave(
    answer: Callable[[int], NDArray[Any]], told: str, index: int | None
) -> None:
    embedder = Embedder(GEMMA, ScriptedEncoder(answer))

    with pytest.raises(DegenerateVector, match=told) as refused:
        await embedder.embed("query", inputs("a", "b", "c"))

    assert "encoder 'scripted'" in str(refused.value)
    assert refused.value.index == index


async def test_a_broken_row_is_named_by_its_place_among_all_inputs() -> None:
    answers = iter([np.ones((2, 768), np.float32), with_row(1, np.nan)(2)])
    embedder = Embedder(GEMMA, ScriptedEncoder(lambda _: next(answers)), window=2)

    with pytest.raises(DegenerateVector) as refused:
        await embedder.embed("query", inputs("a", "b", "c", "d"))

    assert refused.value.index == 3


async def test_a_prefix_of_zeros_is_refused_at_the_size_it_is_asked_for() -> None:
    rows = np.ones((1, 768), np.float32)
    rows[:, :128] = 0
    embedder = Embedder(GEMMA, ScriptedEncoder(lambda _: rows))

    assert (await embedder.embed("query", inputs("x"), size=256)).vectors.shape == (1, 256)
    with pytest.raises(DegenerateVector, match="size 128"):
        await embedder.embed("query", inputs("x"), size=128)


def test_an_encoder_of_another_size_is_refused_at_the_door() -> None:
    with pytest.raises(ConfigurationError, match=r"size 384.*has 768.*Dense layers"):
        Embedder(GEMMA, ScriptedEncoder(size=384))


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_an_encoder_in_a_forbidden_dtype_is_refused_at_the_door(dtype: str) -> None:
    with pytest.raises(UnsupportedDtype, match=dtype):
        Embedder(GEMMA, ScriptedEncoder(dtype=dtype))


def test_a_kind_that_cannot_serve_the_model_is_refused_at_the_door() -> None:
    with pytest.raises(ConfigurationError, match="embedding_gemma2"):
        Embedder(EMBEDDING_GEMMA_2, ScriptedEncoder(kind="tei"))


def test_the_space_tells_made_up_vectors_from_real_ones() -> None:
    real, fake = Embedder(GEMMA, ScriptedEncoder()), Embedder(GEMMA, FakeEncoder())

    assert real.space == "embeddinggemma-300m:6eb5cdcd03008f93"
    assert fake.space.startswith("embeddinggemma-300m+fake:")


def test_the_document_counter_counts_prompt_and_title() -> None:
    count = Embedder(GEMMA, FakeEncoder()).document_counter()

    assert count("red planet", None) == 2 + 2 + 6
    assert count("red planet", "Mars and Venus") == 2 + 2 + 6 - 1 + 3


async def test_one_event_tells_what_was_embedded_without_the_text() -> None:
    events: list[Event] = []
    embedder = Embedder(GEMMA, FakeEncoder(), sink=events.append, window=2)

    await embedder.embed("query", inputs("a", "b", "c"))

    (event,) = events
    assert isinstance(event, Embedded)
    assert (event.task, event.inputs, event.tokens) == ("query", 3, 3 * QUERY_TOKENS + 3)
    assert event.seconds > 0
