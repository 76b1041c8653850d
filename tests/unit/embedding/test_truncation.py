"""Texts that lose their end: how much, when, and what never does."""

import numpy as np
import pytest

from gateway.embedding.catalog import EMBEDDING_GEMMA_300M as GEMMA
from gateway.embedding.embedder import Embedder
from gateway.embedding.results import Truncation
from gateway.embedding.texts import Input
from gateway.encoders.fake import FakeEncoder
from gateway.errors import InputTooLong
from gateway.events import Event, Truncated
from tests.support.scripted import ScriptedEncoder, inputs

pytestmark = pytest.mark.anyio


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
