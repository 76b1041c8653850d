"""Whatever orders the hits, pages join to one list: none is on two of them, none is left out."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.domain.search import Fusion, FusionMethod, Hit
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.rerankers.fake import FakeReranker
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.pipeline import Retriever
from gateway.retrieval.query import Group, GroupScore, Mode, Rerank
from tests.unit.retrieval.test_stages import Bench

pytestmark = pytest.mark.anyio

DOCUMENTS, WORDS = 15, [f"word{index}" for index in range(12)]
TEXT = "word1 word2 word3"
FEW = Rerank(candidates=7)
BY_DOCUMENT: dict[str, Any] = {"group": Group(), "candidates": 5}
BY_SUM: dict[str, Any] = {"group": Group(GroupScore.SUM, size=2), "candidates": 9}


class Wavering(FakeReranker):
    """A model in float32: the last digits of a score depend on what else is read with a text."""

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        scores = await super().rerank(query, texts)
        return [
            score + (len(texts) * place) % 7 * 1.5e-8 for place, score in enumerate(scores, start=1)
        ]


@pytest.fixture
async def bench() -> Bench:
    """A collection of 15 documents with 1 to 5 chunks each, all of them sharing a word."""
    bench, rng = Bench(), random.Random(5)
    bench.reranking = Retriever(bench.embedder, bench.store, bench.collections, reranker=Wavering())
    spec = await bench.collections.create("c", size=256, coarse=128)
    for document in range(DOCUMENTS):
        texts = [" ".join(["word1", *rng.choices(WORDS, k=6)]) for _ in range(1 + document % 5)]
        made = await bench.embedder.embed(Task.DOCUMENT, [Input(t) for t in texts], size=spec.size)
        chunks = [
            EmbeddedChunk(
                Chunk(f"d{document}", i, text, 0, len(text), 9, len(texts), str(document)),
                made.vectors[i],
                "2026-01-01T00:00:00Z",
                bench.embedder.space,
            )
            for i, text in enumerate(texts)
        ]
        await bench.store.upsert("c", chunks)
    return bench


async def pages(bench: Bench, limit: int, texts: list[str] | str, **how: Any) -> list[list[Hit]]:
    """Read page after page until one is empty."""
    found: list[list[Hit]] = []
    while not found or found[-1]:
        options = SearchOptions(limit=limit, offset=limit * len(found), **how)
        hits = (await bench.reranking.search("c", texts, options)).hits
        found.append(list(hits))
    return found[:-1]


@pytest.mark.parametrize("limit", [3, 8])
@pytest.mark.parametrize(
    "how",
    [
        {"mode": Mode.DENSE, "rerank": FEW},
        {"mode": Mode.DENSE, "coarse": True, "rerank": False},
        {"mode": Mode.DENSE, "coarse": True, "rerank": FEW, "mmr": 0.5, "candidates": 9},
        {"mode": Mode.DENSE, "mmr": 0.3, "candidates": 6, "rerank": False},
        {"mode": Mode.LEXICAL, "rerank": FEW},
        {"candidates": 5, "rerank": False},
        {"candidates": 5, "rerank": FEW, "mmr": 0.5},
        {"candidates": 5, "rerank": False, "fusion": Fusion(FusionMethod.DBSF)},
    ],
    ids=str,
)
async def test_pages_of_hits_join(bench: Bench, how: dict[str, Any], limit: int) -> None:
    ids = [hit.id for page in await pages(bench, limit, TEXT, **how) for hit in page]
    assert len(ids) == len(set(ids))
    assert len(ids) == await bench.store.count("c")


@pytest.mark.parametrize("limit", [3, 8])
@pytest.mark.parametrize(
    "how",
    [
        {**BY_DOCUMENT, "rerank": FEW},
        {**BY_DOCUMENT, "rerank": False, "mmr": 0.4},
        {**BY_DOCUMENT, "rerank": FEW, "mmr": 0.4},
        {**BY_SUM, "rerank": False},
        {**BY_SUM, "rerank": FEW},
        {**BY_SUM, "rerank": FEW, "mmr": 0.6},
    ],
    ids=str,
)
async def test_pages_of_documents_join(bench: Bench, how: dict[str, Any], limit: int) -> None:
    found = await pages(bench, limit, TEXT, **how)
    by_page = [list(dict.fromkeys(hit.chunk.document_id for hit in page)) for page in found]
    documents = [document for page in by_page for document in page]
    assert all(len(page) == limit for page in by_page[:-1])
    assert len(documents) == len(set(documents)) == DOCUMENTS


@pytest.mark.parametrize("limit", [3, 8])
@pytest.mark.parametrize("rerank", [False, FEW], ids=["plain", "reranked"])
async def test_pages_of_several_texts_join(bench: Bench, rerank: Rerank | bool, limit: int) -> None:
    found = await pages(bench, limit, [TEXT, "word7 word8"], candidates=6, rerank=rerank)
    ids = [hit.id for page in found for hit in page]
    assert len(ids) == len(set(ids)) == await bench.store.count("c")


async def test_within_a_part_the_reranker_orders_and_the_next_part_follows(bench: Bench) -> None:
    """Scores fall within the first seven hits, and again within the next seven."""
    found = await pages(bench, 5, TEXT, mode=Mode.DENSE, rerank=FEW)
    scores = [hit.score for page in found for hit in page]
    parts = [scores[start : start + 7] for start in range(0, len(scores), 7)]
    assert all(part == sorted(part, reverse=True) for part in parts)
    assert scores != sorted(scores, reverse=True), "else this shows nothing"


async def test_a_reranked_search_with_a_threshold_ends_with_the_first_part(bench: Bench) -> None:
    how: dict[str, Any] = {"mode": Mode.DENSE, "rerank": FEW}
    whole = [hit for page in await pages(bench, 5, TEXT, **how) for hit in page][:7]
    bar = whole[3].score
    some = [hit for page in await pages(bench, 5, TEXT, score_threshold=bar, **how) for hit in page]
    assert [hit.id for hit in some] == [hit.id for hit in whole if hit.score >= bar]
