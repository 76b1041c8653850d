"""Batches of searches: one call of the encoder for each task, each search with its own answer."""

from collections.abc import Sequence

import pytest

from gateway.errors import InvalidRequest, InvalidText, UpstreamUnavailable
from gateway.ports import Encoding, Lane
from gateway.retrieval.asking import Search
from gateway.retrieval.explanation import SearchResult
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.query import Mode
from tests.unit.retrieval.test_stages import Bench, places

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.fill()
    await bench.collections.open("c")  # looks at the collection once, by embedding
    bench.encoder.calls = 0
    return bench


def search(*texts: str, **options: object) -> Search:
    return Search(texts, SearchOptions(**options))  # pyright: ignore[reportArgumentType]


async def test_texts_of_one_task_are_embedded_by_one_call(bench: Bench) -> None:
    searches = [
        search("red planet"),
        search("flour", mode=Mode.LEXICAL),
        search("moons", "dust storms"),
        search("two moons", task="fact_checking"),
    ]
    found = await bench.retriever.search_many("c", searches)
    assert bench.encoder.calls == 2, "one for queries, one for fact checking, none for words alone"
    for asked, answer in zip(searches, found, strict=True):
        assert isinstance(answer, SearchResult)
        alone = await bench.retriever.search("c", asked.texts, asked.options)
        assert places(answer.hits) == places(alone.hits)
        assert [hit.score for hit in answer.hits] == [hit.score for hit in alone.hits]


async def test_a_refused_text_is_named_by_its_place_in_its_own_search(bench: Bench) -> None:
    found = await bench.retriever.search_many(
        "c", [search("red planet"), search("moons", " "), search("bread", task="singing")]
    )
    assert isinstance(found[0], SearchResult)
    assert isinstance(found[1], InvalidText)
    assert (found[1].index, "input 1 is blank" in str(found[1])) == (1, True)
    assert isinstance(found[2], InvalidRequest)
    assert found[2].slug == "unknown-task"
    assert bench.encoder.calls == 1


async def test_an_explanation_tells_the_tokens_of_its_own_search(bench: Bench) -> None:
    long = "dust " * 3_000
    searches = [
        search("red planet", explain=True),
        search("where are the two moons?", "storms", explain=True),
        search(long, explain=True, truncate=True),
        search("moons", explain=True, truncate=True),
    ]
    found = await bench.retriever.search_many("c", searches)
    assert bench.encoder.calls == 2, "texts that may be cut are embedded apart from the others"
    for asked, answer in zip(searches, found, strict=True):
        assert isinstance(answer, SearchResult)
        alone = await bench.retriever.search("c", asked.texts, asked.options)
        assert answer.explanation.tokens == alone.explanation.tokens > 0
        assert answer.warnings == alone.warnings
    cut = found[2]
    assert isinstance(cut, SearchResult)
    assert "the query was cut" in cut.warnings[0]


async def test_a_dead_encoder_fails_only_the_searches_that_need_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dead(texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        raise UpstreamUnavailable("nobody answers", service="encoder")

    monkeypatch.setattr(bench.encoder, "encode", dead)
    found = await bench.retriever.search_many(
        "c", [search("planet"), search("bread", mode=Mode.LEXICAL), search("moons")]
    )
    assert isinstance(found[0], UpstreamUnavailable)
    assert isinstance(found[2], UpstreamUnavailable)
    assert isinstance(found[1], SearchResult)
    assert {hit.chunk.document_id for hit in found[1].hits} == {"bread"}


async def test_what_cannot_be_served_is_refused_before_anything_is_embedded(bench: Bench) -> None:
    found = await bench.retriever.search_many(
        "c", [search("a", rerank=True), search("b", coarse=4_096), search(*["c"] * 17)]
    )
    fields = [answer.field for answer in found if isinstance(answer, InvalidRequest)]
    assert fields == ["rerank", "coarse", "queries"]
    assert bench.encoder.calls == 0
