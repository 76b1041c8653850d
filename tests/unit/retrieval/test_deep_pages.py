"""What deep pages cost the store and the reranker, on vectors laid out so that it shows."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.domain.search import DenseQuery, Hit, StoreQuery
from gateway.domain.vectors import Vector, shorten
from gateway.errors import UpstreamUnavailable
from gateway.rerankers.fake import FakeReranker
from gateway.retrieval.query import Ask, Group, Query, Rerank
from gateway.retrieval.retrieve import retrieve
from gateway.retrieval.stages import group, page, rerank
from gateway.vectorstores.memory import MemoryStore

pytestmark = pytest.mark.anyio

SIZE, SHORT = 16, 4
SPEC = CollectionSpec("c", "p", "s", SIZE, coarse=SHORT)
TEXT = "planet"
STEP = 1e-3


class Noting(MemoryStore):
    """Notes how many hits each query asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[int] = []

    async def query(self, name: str, query: StoreQuery) -> list[Hit]:
        self.limits.append(query.limit)
        return await super().query(name, query)


class Reading(FakeReranker):
    """Notes how many texts it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[int] = []

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        self.read.append(len(texts))
        return await super().rerank(query, texts)


class Failing(FakeReranker):
    """Reads its first part for ever and fails at the second; `ended` counts those it was told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.ended = 0

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        self.asked += 1
        if self.asked > 1:
            raise UpstreamUnavailable("nobody answers", service="reranker")
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1
        return []


def first() -> Vector:
    return np.eye(SIZE, dtype=np.float32)[0]


async def laid_out(store: MemoryStore, sizes: Sequence[int], texts: Sequence[str]) -> None:
    """Store documents with so many chunks; by meaning one document comes after the other."""
    await store.ensure(SPEC)
    place = 0
    for document, (size, text) in enumerate(zip(sizes, texts, strict=True)):
        chunks: list[EmbeddedChunk] = []
        for index in range(size):
            near, place = 1 - STEP * place, place + 1
            vector = np.zeros(SIZE, np.float32)
            vector[0], vector[1] = near, (1 - near**2) ** 0.5
            chunk = Chunk(f"d{document}", index, text, 0, len(text), 3, size, "h")
            chunks.append(EmbeddedChunk(chunk, vector, "2026-01-01T00:00:00Z", "s"))
        await store.upsert("c", chunks)


async def documents(store: MemoryStore, query: Query) -> list[str]:
    hits: Sequence[Hit] = []
    for stage in (retrieve(store), rerank(FakeReranker()), group, page):
        hits = await stage(query, hits)
    return [hit.chunk.document_id for hit in hits]


async def test_a_part_of_documents_is_whole_before_it_is_ordered() -> None:
    """The last document of a part is behind two hundred chunks of another, and reads best."""
    store = MemoryStore()
    await laid_out(store, [10, 10, 10, 200, 5, 5, 5], ["far"] * 4 + [TEXT] + ["far"] * 2)
    asked = Query("c", (Ask(TEXT, first()),), "s", 2, rerank=Rerank(30), group=Group())
    pages = [await documents(store, replace(asked, offset=offset)) for offset in (0, 2, 4, 6)]
    found = [document for each in pages for document in each]
    assert sorted(found) == [f"d{index}" for index in range(7)]
    assert found.index("d4") < found.index("d3"), "else the reranker ordered nothing"


async def test_a_page_of_documents_does_not_read_the_collection() -> None:
    store, count = Noting(), 40
    await laid_out(store, [20] * count, ["far"] * count)
    asked = Query("c", (Ask(TEXT, first()),), "s", 5, rerank=Rerank(50), group=Group())
    for offset, most in ((0, 1), (5, 2), (10, 2)):
        store.limits.clear()
        await documents(store, replace(asked, offset=offset))
        assert len(store.limits) <= most + 1
        assert max(store.limits) <= 4 * 20 * (offset + 10)


async def test_hits_of_earlier_pages_are_not_read_again() -> None:
    store = MemoryStore()
    await laid_out(store, [60], ["far"])
    asked = Query("c", (Ask(TEXT, first()),), "s", 5, rerank=Rerank(10))
    for offset, read in ((0, 10), (5, 10), (10, 10), (25, 10), (8, 20)):
        reranker = Reading()
        hits = await retrieve(store)(replace(asked, offset=offset), [])
        await rerank(reranker)(replace(asked, offset=offset), hits)
        assert sum(reranker.read) == read, offset


async def test_where_one_part_fails_the_others_are_read_no_further() -> None:
    store, reranker = MemoryStore(), Failing()
    await laid_out(store, [60], ["far"])
    asked = Query("c", (Ask(TEXT, first()),), "s", 5, offset=8, rerank=Rerank(10))
    hits = await retrieve(store)(asked, [])
    async with asyncio.timeout(30):
        with pytest.raises(UpstreamUnavailable):
            await rerank(reranker)(asked, hits)
    assert (reranker.asked, reranker.ended) == (2, 1)


@pytest.mark.parametrize(
    ("how", "read"),
    [
        ({"mmr": 0.5, "offset": 40}, [10]),
        ({"mmr": 0.5, "offset": 5}, [10]),
        ({"score_threshold": 0.0, "offset": 5}, [10]),
        ({"score_threshold": 0.0, "offset": 40}, []),
    ],
    ids=str,
)
async def test_later_stages_make_a_reranker_read_no_more(
    how: dict[str, Any], read: list[int]
) -> None:
    store, reranker = MemoryStore(), Reading()
    await laid_out(store, [60], ["far"])
    asked = Query("c", (Ask(TEXT, first()),), "s", 5, rerank=Rerank(10), candidates=20, **how)
    await rerank(reranker)(asked, await retrieve(store)(asked, []))
    assert reranker.read == read


async def test_a_wider_first_pass_appends_to_the_narrower() -> None:
    """Short vectors rank the chunks otherwise than full ones, so a wider pass finds better ones."""
    store, rng = Noting(), np.random.default_rng(3)
    await store.ensure(SPEC)
    rows = rng.normal(size=(80, SIZE)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for number, row in enumerate(rows):
        chunk = Chunk(f"d{number}", 0, TEXT, 0, 6, 3, 1, "h")
        await store.upsert("c", [EmbeddedChunk(chunk, row, "2026-01-01T00:00:00Z", "s")])
    query = rng.normal(size=SIZE).astype(np.float32)
    query /= np.linalg.norm(query)
    asked = Query("c", (Ask(TEXT, query),), "s", 5, coarse=1.0)
    found: list[str] = []
    for offset in range(0, 80, 5):
        store.limits.clear()
        hits = await retrieve(store)(replace(asked, offset=offset), [])
        here = await page(replace(asked, offset=offset), hits)
        assert len(store.limits) <= 1 + np.ceil(np.log(max(1, (offset + 5) / 5)) / np.log(4))
        found += [hit.chunk.document_id for hit in here]
    assert len(found) == len(set(found)) == 80
    short = np.argsort(-(shorten(rows, SHORT) @ shorten(query[np.newaxis], SHORT)[0]))[:5]
    assert set(found[:5]) == {f"d{index}" for index in short}, (
        "the first page costs one narrow pass"
    )
    best = await store.query("c", DenseQuery(query, 5, "s"))
    assert found[:5] != [hit.chunk.document_id for hit in best], "else this shows nothing"
