"""Partial answers: what can be embedded is, and the rest is named with its reason."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.embedding.catalog import EMBEDDING_GEMMA_300M as GEMMA
from gateway.embedding.embedder import Embedder
from gateway.errors import (
    DegenerateVector,
    DoublePrompt,
    InputTooLong,
    InvalidText,
    UpstreamRejected,
)
from tests.support.scripted import ScriptedEncoder, inputs, ones, waves, with_row

pytestmark = pytest.mark.anyio


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
    embedder = Embedder(GEMMA, ScriptedEncoder(with_row(1, np.nan)), window=3)

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
