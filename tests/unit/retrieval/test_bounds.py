"""What stages cost is bounded, pages are filled, and what was left out is said."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway.errors import InvalidRequest
from gateway.rerankers.fake import FakeReranker
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.pipeline import Retriever
from gateway.retrieval.query import Group, GroupScore, Mode, OnFailure, Rerank
from tests.unit.retrieval.test_stages import TEXTS, Bench, Dead, places

pytestmark = pytest.mark.anyio


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.fill()
    return bench


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"mmr": 0.5, "offset": 1, "limit": 1_000}, "offset"),
        ({"mmr": 0.5, "candidates": 1_001}, "candidates"),
        ({"rerank": Rerank(1_001)}, "rerank.candidates"),
    ],
)
def test_stages_that_cost_by_candidate_take_a_thousand(
    options: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidRequest, match="1000") as refused:
        SearchOptions(**options)  # pyright: ignore[reportArgumentType]
    assert refused.value.field == field


async def test_a_page_too_deep_for_the_reranker_says_how_to_read_it(bench: Bench) -> None:
    deep = SearchOptions(offset=500, limit=501)
    with pytest.raises(InvalidRequest, match="rerank false, --no-rerank"):
        await bench.reranking.search("c", "planet", deep)
    off = await bench.reranking.search("c", "planet", replace(deep, rerank=False))
    assert list(off.hits) == []


async def test_grouped_pages_are_filled_behind_reranking_and_diversity(bench: Bench) -> None:
    few = Rerank(candidates=1)
    for options in (
        SearchOptions(mode=Mode.DENSE, rerank=few, group=Group(), limit=4),
        SearchOptions(mode=Mode.DENSE, mmr=0.5, candidates=1, group=Group(), limit=4),
    ):
        result = await bench.reranking.search("c", "Mars planet moons dust", options)
        assert {hit.chunk.document_id for hit in result.hits} == set(TEXTS)


async def test_a_skipped_reranking_is_marked_and_its_threshold_is_not_held(bench: Bench) -> None:
    dead = Retriever(bench.embedder, bench.store, bench.collections, reranker=Dead())
    options = SearchOptions(score_threshold=0.9, rerank=Rerank(on_failure=OnFailure.SKIP))
    result = await dead.search("c", "moons", options)
    assert places(result.hits) == places(await bench.hits("moons"))
    assert [(s.stage, s.skipped) for s in result.explanation.stages] == [
        ("hybrid", False),
        ("rerank", True),
        ("page", False),
    ]
    assert result.explanation.reranker is None
    assert "score_threshold" in result.warnings[0]


async def test_many_candidates_are_chosen_among_as_few_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SearchOptions(mode=Mode.DENSE, mmr=0.4)
    here = await bench.retriever.search("c", "Mars planet", options)
    monkeypatch.setattr("gateway.retrieval.stages._AT_ONCE", 0)
    elsewhere = await bench.retriever.search("c", "Mars planet", options)
    assert places(here.hits) == places(elsewhere.hits)


async def test_the_reranker_reads_no_more_than_it_must(bench: Bench) -> None:
    read: list[int] = []

    class Noting(FakeReranker):
        async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
            read.append(len(texts))
            return await super().rerank(query, texts)

    retriever = Retriever(bench.embedder, bench.store, bench.collections, reranker=Noting())
    result = await retriever.search("c", "planet", SearchOptions(limit=2, rerank=Rerank(3)))
    assert (read, len(result.hits)) == ([3], 2)


async def test_pages_of_summed_documents_join_to_the_whole(bench: Bench) -> None:
    def asked(limit: int, offset: int = 0) -> SearchOptions:
        group = Group(GroupScore.SUM)
        return SearchOptions(mode=Mode.DENSE, group=group, candidates=3, limit=limit, offset=offset)

    text = "is the red planet"
    whole = (await bench.retriever.search("c", text, asked(4))).hits
    pages = [
        hit
        for offset in range(4)
        for hit in (await bench.retriever.search("c", text, asked(1, offset))).hits
    ]
    assert [(hit.id, hit.score) for hit in pages] == [(hit.id, hit.score) for hit in whole]
    assert {hit.chunk.document_id for hit in whole} == set(TEXTS)
