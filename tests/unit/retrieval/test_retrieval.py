"""Searches over the fake encoder and the exact memory store."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gateway.domain.collections import CollectionSpec, FieldType
from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.domain.order import ranked
from gateway.domain.search import Eq
from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.encoders.fake import FakeEncoder
from gateway.errors import (
    CollectionMismatch,
    CollectionNotFound,
    DoublePrompt,
    InvalidRequest,
    InvalidText,
    SpaceMismatch,
    UnknownTask,
    UnsupportedSize,
)
from gateway.events import Event, Searched
from gateway.retrieval.collections import Collections
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.pipeline import Retriever
from gateway.retrieval.query import Group, Mode, Rerank
from gateway.vectorstores.memory import MemoryStore

pytestmark = pytest.mark.anyio

TEXTS = {
    "mars": ["Mars is the red planet", "Mars has two moons", "Dust storms cross Mars"],
    "venus": ["Venus is the hottest planet"],
    "bread": ["Bread is baked from flour", "Sourdough bread needs a starter"],
}


class Bench:
    """An embedder, a store and the use cases over them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.embedder = Embedder(EMBEDDING_GEMMA_300M, FakeEncoder())
        self.store = MemoryStore()
        self.collections = Collections(self.embedder, self.store)
        self.retriever = Retriever(
            self.embedder, self.store, self.collections, sink=self.events.append
        )

    async def fill(self, name: str = "c") -> CollectionSpec:
        spec = await self.collections.create(name)
        for document_id, texts in TEXTS.items():
            await self.store.upsert(name, await self.embed(document_id, texts, spec.size))
        return spec

    async def embed(self, document_id: str, texts: Sequence[str], size: int) -> list[EmbeddedChunk]:
        rows = await self.embedder.embed(Task.DOCUMENT, [Input(t, "T") for t in texts], size=size)
        return [
            EmbeddedChunk(
                Chunk(document_id, i, text, 0, len(text), 9, len(texts), "hash", title="T"),
                row,
                "2026-01-01T00:00:00Z",
                self.embedder.space,
            )
            for i, (text, row) in enumerate(zip(texts, rows.vectors, strict=True))
        ]


@pytest.fixture
async def bench() -> Bench:
    found = Bench()
    await found.fill()
    return found


async def test_texts_that_share_words_come_first(bench: Bench) -> None:
    result = await bench.retriever.search("c", "red planet Mars")
    assert result.hits[0].chunk.text == "Mars is the red planet"
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)
    assert len(result.hits) == 6


async def test_pages_join_to_the_whole_ranking(bench: Bench) -> None:
    whole = (await bench.retriever.search("c", "planet")).hits
    pages = [
        hit
        for offset in range(0, 6, 2)
        for hit in (
            await bench.retriever.search("c", "planet", SearchOptions(limit=2, offset=offset))
        ).hits
    ]
    assert [hit.id for hit in pages] == [hit.id for hit in whole]


async def test_grouping_returns_each_document_once_with_its_best_chunk(bench: Bench) -> None:
    whole = (await bench.retriever.search("c", "Mars moons")).hits
    grouped = (await bench.retriever.search("c", "Mars moons", SearchOptions(group=Group()))).hits
    assert sorted(hit.chunk.document_id for hit in grouped) == sorted(TEXTS)
    assert grouped[0].id == whole[0].id


async def test_grouping_looks_deeper_until_the_page_is_full(bench: Bench) -> None:
    many = [f"Mars fact number {i}" for i in range(60)]
    await bench.store.upsert("c", await bench.embed("atlas", many, 512))
    options = SearchOptions(group=Group(), limit=4)
    hits = (await bench.retriever.search("c", "Mars fact number", options)).hits
    assert sorted(hit.chunk.document_id for hit in hits) == ["atlas", "bread", "mars", "venus"]


async def test_filters_and_thresholds_narrow_the_hits(bench: Bench) -> None:
    only = SearchOptions(where=Eq("document_id", "bread"))
    hits = (await bench.retriever.search("c", "planet", only)).hits
    assert {hit.chunk.document_id for hit in hits} == {"bread"}
    best = (await bench.retriever.search("c", "red planet")).hits[0].score
    strict = SearchOptions(score_threshold=best - 1e-6)
    assert len((await bench.retriever.search("c", "red planet", strict)).hits) == 1


@pytest.mark.parametrize(
    ("texts", "mode", "told"),
    [
        (["the and of"], Mode.LEXICAL, ["it finds nothing by words"]),
        (["the and of"], Mode.AUTO, ["by meaning alone"]),
        (["the and of"], Mode.DENSE, []),
        (["the planet"], Mode.LEXICAL, []),
        (["planet", "the", "?"], Mode.HYBRID, ["text 2 of the query", "text 3 of the query"]),
    ],
    ids=str,
)
async def test_a_text_without_a_word_to_look_for_is_told(
    bench: Bench, texts: list[str], mode: Mode, told: list[str]
) -> None:
    result = await bench.retriever.search("c", texts, SearchOptions(mode=mode))
    assert len(result.warnings) == len(told)
    assert all(each in warning for each, warning in zip(told, result.warnings, strict=True))
    assert bool(result.hits) == (texts != ["the and of"] or mode is not Mode.LEXICAL)


async def test_the_explanation_names_prompt_space_and_stages(bench: Bench) -> None:
    result = await bench.retriever.search("c", "planet", SearchOptions(task="fact_checking"))
    how = result.explanation
    assert how.prompt == EMBEDDING_GEMMA_300M.prompts["fact_checking"]
    assert how.space == bench.embedder.space
    assert (how.size, [trace.stage for trace in how.stages]) == (512, ["hybrid", "page"])
    assert how.prompt is not None
    assert how.tokens == (await bench.embedder.encoder.count_tokens([how.prompt + "planet"]))[0]
    assert [stage.stage for stage in result.hits[0].stages] == ["dense", "lexical", "hybrid"]
    last = result.hits[0].stages[-1]
    assert (last.rank, last.score) == (1, result.hits[0].score)


async def test_a_search_is_an_event_without_its_text(bench: Bench) -> None:
    await bench.retriever.search("c", "secret words")
    found = [event for event in bench.events if isinstance(event, Searched)]
    assert [(event.collection, event.hits) for event in found] == [("c", 6)]
    assert "secret" not in repr(bench.events)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1_000_000}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 9_995}, "offset"),
        ({"candidates": 0}, "candidates"),
        ({"candidates": 10_001}, "candidates"),
        ({"neighbours": 11}, "neighbours"),
        ({"mmr": 1.5}, "mmr"),
        ({"group": Group(size=0)}, "group_size"),
        ({"rerank": Rerank(candidates=0)}, "rerank.candidates"),
    ],
)
def test_impossible_options_are_refused_by_name(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        SearchOptions(**options)
    assert caught.value.field == field


async def test_bad_texts_and_tasks_are_refused(bench: Bench) -> None:
    with pytest.raises(InvalidText):
        await bench.retriever.search("c", "")
    with pytest.raises(UnknownTask, match="did you mean 'query'"):
        await bench.retriever.search("c", "x", SearchOptions(task="qury"))
    with pytest.raises(DoublePrompt):
        await bench.retriever.search("c", EMBEDDING_GEMMA_300M.prompts["query"] + "x")
    with pytest.raises(CollectionNotFound, match="'nowhere'"):
        await bench.retriever.search("nowhere", "x")


async def test_another_models_collection_is_refused_for_reading_and_making(bench: Bench) -> None:
    foreign = replace(bench.collections.spec("f"), space="embeddinggemma-2:0000")
    await bench.store.ensure(foreign)
    with pytest.raises(SpaceMismatch) as caught:
        await bench.retriever.search("f", "x")
    assert caught.value.stored == "embeddinggemma-2:0000"
    with pytest.raises(SpaceMismatch):
        await bench.collections.create("f")


async def test_a_collection_keeps_its_size_and_fields(bench: Bench) -> None:
    fields = {"year": FieldType.INTEGER}
    made = await bench.collections.create("s", size=128, filter_fields=fields)
    assert (made.size, dict(made.filter_fields)) == (128, fields)
    assert (await bench.collections.open("s")).size == 128
    assert (await bench.collections.open_or_create("s")).size == 128
    assert (await bench.collections.open_or_create("new")).size == 512
    with pytest.raises(CollectionMismatch, match="size 128"):
        await bench.collections.create("s", size=256)
    with pytest.raises(CollectionMismatch, match="'month'"):
        await bench.collections.create("s", size=128, filter_fields={"month": FieldType.INTEGER})
    with pytest.raises(UnsupportedSize):
        await bench.collections.create("odd", size=300)


async def test_a_model_of_one_script_warns_of_another() -> None:
    embedder = Embedder(ALL_MINILM_L6_V2, FakeEncoder(size=384, max_tokens=256))
    store = MemoryStore()
    collections = Collections(embedder, store)
    await collections.create("c")
    retriever = Retriever(embedder, store, collections)
    warned = (await retriever.search("c", "красная планета Mars")).warnings
    assert "en only" in warned[0]
    assert (await retriever.search("c", "le café Δ")).warnings == ()
    assert (await retriever.search("c", "1234 ?!")).warnings == ()


async def test_ties_are_ordered_by_id(bench: Bench) -> None:
    hits = (await bench.retriever.search("c", "planet")).hits
    same = [replace(hit, score=0.5) for hit in hits]
    ids = [hit.id.int for hit in ranked(reversed(same))]
    assert ids == sorted(ids)
    assert np.isfinite([hit.score for hit in hits]).all()
