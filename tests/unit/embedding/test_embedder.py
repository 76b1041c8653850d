"""Policy over an encoder: prompts, budget, checks, the cut; nothing is lost or rewritten."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_2, EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.results import Truncation
from gateway.embedding.texts import Input
from gateway.encoders.fake import FakeEncoder
from gateway.errors import (
    ConfigurationError,
    DegenerateVector,
    DoublePrompt,
    GatewayError,
    InputTooLong,
    InvalidRequest,
    InvalidText,
    UnknownTask,
    UnsupportedDtype,
    UnsupportedSize,
    UpstreamRejected,
)
from gateway.events import Embedded, Event, Truncated
from gateway.ports import EncoderInfo, Encoding, Health, Lane

pytestmark = pytest.mark.anyio

GEMMA = EMBEDDING_GEMMA_300M
QUERY_TOKENS = 9
"""Of the fake: four words and three marks of the query prompt, and two specials."""


def ones(
    size: int = 768, *, extra: int = 0, dtype: type[np.floating[Any]] = np.float32
) -> Callable[[int], NDArray[Any]]:
    """Answer rows of ones, `extra` more than were asked for."""

    def answer(count: int) -> NDArray[Any]:
        return np.ones((count + extra, size), dtype)

    return answer


class ScriptedEncoder:
    """Counts a token per character, remembers what it read, answers what a test says."""

    def __init__(
        self,
        answer: Callable[[int], NDArray[Any]] | None = None,
        *,
        kind: str = "scripted",
        dtype: str = "float32",
        size: int = 768,
        max_tokens: int = 2048,
        refuses: str | None = None,
        reason: Callable[[str], GatewayError] = InputTooLong,
        uncountable: str | None = None,
    ) -> None:
        self.info = EncoderInfo(kind, "scripted", size, max_tokens, dtype)
        self.read: list[list[str]] = []
        self.counted: list[list[str]] = []
        self._answer = answer or ones(size=size)
        self._refuses = refuses
        self._reason = reason
        self._uncountable = uncountable

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        self.read.append(list(texts))
        refused: dict[int, GatewayError] = {
            index: self._reason(f"input {index} is too much for me")
            for index, text in enumerate(texts)
            if self._refuses is not None and self._refuses in text
        }
        rows = self._answer(len(texts))
        rows[list(refused)] = np.nan
        read = sum(len(text) for index, text in enumerate(texts) if index not in refused)
        return Encoding(rows, read, refused)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        self.counted.append(list(texts))
        for index, text in enumerate(texts):
            if self._uncountable is not None and self._uncountable in text:
                raise InvalidText(f"input {index}: no such word", index=index, field="text")
        return [len(text) for text in texts]

    async def cut(self, text: str, tokens: int) -> str:
        return text[:tokens]

    def token_counter(self) -> Callable[[str], int]:
        return len

    async def health(self) -> Health:
        return Health("scripted", ok=True)

    async def aclose(self) -> None:
        return None


def waves(count: int) -> NDArray[np.float32]:
    """Rows that do not depend on how many there are."""
    return np.tile(np.sin(np.arange(1, 769, dtype=np.float32)), (count, 1))


def inputs(*texts: str) -> list[Input]:
    return [Input(text) for text in texts]


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


@given(
    st.lists(
        st.tuples(
            st.text().filter(
                lambda text: (
                    "\x00" not in text and text.isprintable() and not text.isspace() and text
                )
            ),
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


async def test_a_partial_answer_names_every_guilty_input_and_embeds_the_rest() -> None:
    items = inputs(
        "good", " ", "task: search result | query: x", "y" * 2100, "poison", "fine", "\ud800"
    )
    clean = await Embedder(GEMMA, ScriptedEncoder(waves)).embed("query", inputs("good", "fine"))
    encoder = ScriptedEncoder(waves, refuses="poison", reason=UpstreamRejected)
    embedder = Embedder(GEMMA, encoder, window=2)

    found = await embedder.embed("query", items, partial=True)

    assert {index: type(error) for index, error in found.refused.items()} == {
        1: InvalidText,
        2: DoublePrompt,
        3: InputTooLong,
        4: UpstreamRejected,
        6: InvalidText,
    }
    assert all(f"input {i}" in str(error) for i, error in found.refused.items() if i != 2)
    np.testing.assert_array_equal(found.rows[[0, 5]], clean.vectors)
    assert np.isnan(found.rows[[1, 2, 3, 4, 6]]).all()
    assert found.tokens == clean.tokens
    assert sum(map(len, encoder.read)) == 3
    with pytest.raises(InvalidText, match="input 1 is blank"):
        _ = found.vectors


async def test_a_broken_row_costs_only_its_input_in_a_partial_answer() -> None:
    embedder = Embedder(GEMMA, ScriptedEncoder(_with(1, np.nan)), window=3)

    found = await embedder.embed("query", inputs(*"abcdef"), partial=True)

    assert sorted(found.refused) == [1, 4]
    assert isinstance(found.refused[4], DegenerateVector)
    assert found.refused[4].index == 4
    assert np.isfinite(found.rows[[0, 2, 3, 5]]).all()


async def test_vectors_of_a_wrong_form_fail_a_partial_answer_too() -> None:
    with pytest.raises(DegenerateVector, match="shape") as refused:
        await Embedder(GEMMA, ScriptedEncoder(ones(384))).embed("query", inputs("a"), partial=True)

    assert refused.value.index is None


async def test_a_text_that_cannot_be_counted_costs_only_itself() -> None:
    encoder = ScriptedEncoder(uncountable="odd", max_tokens=60)
    items = inputs("a" * 31, "odd" * 10, "b" * 31, "odd" * 10)

    found = await Embedder(GEMMA, encoder).embed("query", items, partial=True)

    assert sorted(found.refused) == [1, 3]
    with pytest.raises(InvalidText, match="input 1: no such word") as refused:
        await Embedder(GEMMA, encoder).embed("query", items)
    assert refused.value.index == 1


async def test_nothing_sound_is_an_answer_without_vectors() -> None:
    encoder = ScriptedEncoder(refuses="x")

    found = await Embedder(GEMMA, encoder).embed("query", inputs("", "x"), partial=True)

    assert sorted(found.refused) == [0, 1]
    assert found.rows.shape == (2, 512)
    assert found.tokens == 0


async def test_an_error_of_the_whole_call_is_raised_in_a_partial_answer_too() -> None:
    def fail(count: int) -> NDArray[Any]:
        raise UpstreamRejected("no model there")

    with pytest.raises(UpstreamRejected, match="no model there"):
        await Embedder(GEMMA, ScriptedEncoder(fail)).embed("query", inputs("a"), partial=True)


async def test_a_long_text_loses_its_end_when_its_caller_allows_it() -> None:
    events: list[Event] = []
    embedder = Embedder(GEMMA, FakeEncoder(max_tokens=40), sink=events.append)
    long, fits = " ".join(f"w{n}" for n in range(100)), " ".join(f"w{n}" for n in range(31))

    found = await embedder.embed("query", inputs("short", long), truncate=True)

    same = await embedder.embed("query", inputs("short", fits))
    np.testing.assert_array_equal(found.vectors, same.vectors)
    assert found.truncated == (Truncation(index=1, tokens=40, lost=69),)
    assert found.tokens == same.tokens
    assert same.truncated == ()
    assert [e for e in events if isinstance(e, Truncated)] == [Truncated("query", 1, 69)]


async def test_neither_prompt_nor_title_is_ever_cut() -> None:
    encoder = ScriptedEncoder(max_tokens=30)
    embedder = Embedder(GEMMA, encoder)

    found = await embedder.embed("document", [Input("y" * 50, "T" * 10)], truncate=True)

    assert encoder.read == [["title: " + "T" * 10 + " | text: " + "y" * 4]]
    assert found.truncated == (Truncation(0, 30, 46),)
    for item, field in ((Input("y", "T" * 40), "title"), (Input(" " * 20 + "y"), "text")):
        with pytest.raises(InputTooLong, match="nothing of its text fits") as refused:
            await embedder.embed("document", [Input("a"), item], truncate=True)
        assert (refused.value.index, refused.value.field) == (1, field)


async def test_what_fits_is_not_cut_though_it_may_be() -> None:
    encoder = ScriptedEncoder(max_tokens=64)
    texts = ["x" * 20, "y" * 33]

    found = await Embedder(GEMMA, encoder).embed("query", inputs(*texts), truncate=True)

    assert [text.removeprefix(GEMMA.prompt("query")) for text in encoder.read[0]] == texts
    assert found.truncated == ()


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


def _with(row: int, value: float) -> Callable[[int], NDArray[Any]]:
    def answer(count: int) -> NDArray[Any]:
        rows = np.ones((count, 768), np.float32)
        rows[row] = value
        return rows

    return answer


@pytest.mark.parametrize(
    ("answer", "told", "index"),
    [
        (_with(1, np.nan), "no direction", 1),
        (_with(2, np.inf), "no direction", 2),
        (_with(0, 0.0), "no direction", 0),
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
    answers = iter([np.ones((2, 768), np.float32), _with(1, np.nan)(2)])
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
