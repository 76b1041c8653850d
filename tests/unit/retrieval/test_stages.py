"""Every stage of a search over the fake encoder, the fake reranker and the store in memory."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.domain.fusion import rrf_score
from gateway.domain.lexical import Lexical
from gateway.domain.search import Eq, Fusion, FusionMethod, Hit
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.encoders.fake import FakeEncoder
from gateway.errors import (
    CollectionNotFound,
    DoublePrompt,
    InvalidRequest,
    InvalidText,
    UpstreamUnavailable,
)
from gateway.rerankers.fake import FakeReranker
from gateway.retrieval.asking import Search
from gateway.retrieval.collections import LEXICAL, Collections
from gateway.retrieval.explanation import SearchResult
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.pipeline import Retriever
from gateway.retrieval.query import Group, GroupScore, Mode, OnFailure, Rerank
from gateway.vectorstores.memory import MemoryStore

pytestmark = pytest.mark.anyio

TEXTS = {
    "mars": ["Mars is the red planet", "Mars has two moons", "Dust storms cross Mars"],
    "venus": ["Venus is the hottest planet"],
    "bread": ["Bread is baked from flour", "Sourdough bread needs a starter"],
    "code": ["Error E1234 means the disk is full"],
}


class Counting(FakeEncoder):
    """Counts the calls that embed."""

    calls = 0

    async def encode(self, texts: Sequence[str], **how: object):
        self.calls += 1
        return await super().encode(texts)


class Dead(FakeReranker):
    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        raise UpstreamUnavailable("nobody answers", service="reranker")


class Bench:
    def __init__(self) -> None:
        self.encoder = Counting()
        self.embedder = Embedder(EMBEDDING_GEMMA_300M, self.encoder)
        self.store = MemoryStore()
        self.collections = Collections(self.embedder, self.store)
        self.retriever = Retriever(self.embedder, self.store, self.collections)
        self.reranking = Retriever(
            self.embedder, self.store, self.collections, reranker=FakeReranker()
        )

    async def fill(self, name: str = "c", *, lexical: Lexical | None = LEXICAL) -> None:
        spec = await self.collections.create(name, lexical=lexical, coarse=128)
        for document, texts in TEXTS.items():
            rows = await self.embedder.embed(
                Task.DOCUMENT, [Input(text) for text in texts], size=spec.size
            )
            await self.store.upsert(
                name,
                [
                    EmbeddedChunk(
                        Chunk(document, i, text, 0, len(text), 9, len(texts), document),
                        row,
                        "2026-01-01T00:00:00Z",
                        self.embedder.space,
                    )
                    for i, (text, row) in enumerate(zip(texts, rows.vectors, strict=True))
                ],
            )

    async def hits(self, text: str | list[str], **options: object) -> Sequence[Hit]:
        return (await self.retriever.search("c", text, SearchOptions(**options))).hits  # pyright: ignore[reportArgumentType]


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.fill()
    await bench.collections.open("c")  # looks at the collection once, by embedding
    bench.encoder.calls = 0
    return bench


def places(hits: Sequence[Hit]) -> list[tuple[str, int]]:
    return [(hit.chunk.document_id, hit.chunk.index) for hit in hits]


async def test_by_default_meaning_and_words_are_fused(bench: Bench) -> None:
    result = await bench.retriever.search("c", "E1234")
    assert result.explanation.mode == "hybrid"
    assert result.explanation.fusion == Fusion()
    assert result.hits[0].chunk.document_id == "code"
    assert result.hits[0].score <= 2 * rrf_score(1, 60) + 1e-6


async def test_without_indexed_words_the_default_is_dense_and_words_are_refused() -> None:
    bench = Bench()
    await bench.fill(lexical=None)
    assert (await bench.retriever.search("c", "planet")).explanation.mode == "dense"
    for mode in (Mode.LEXICAL, Mode.HYBRID):
        with pytest.raises(InvalidRequest, match="no lexical vectors: search it by mode dense"):
            await bench.hits("planet", mode=mode)


async def test_a_search_for_words_embeds_nothing_and_still_checks_the_text(bench: Bench) -> None:
    result = await bench.retriever.search("c", "bread", SearchOptions(mode=Mode.LEXICAL))
    assert {hit.chunk.document_id for hit in result.hits} == {"bread"}
    assert (bench.encoder.calls, result.explanation.tokens) == (0, 0)
    with pytest.raises(InvalidText):
        await bench.hits(" ", mode=Mode.LEXICAL)
    with pytest.raises(DoublePrompt):
        await bench.hits(EMBEDDING_GEMMA_300M.prompts["query"] + "x", mode=Mode.LEXICAL)


async def test_the_reranker_orders_the_candidates_and_its_score_is_returned(bench: Bench) -> None:
    text = "two moons of Mars"
    plain = await bench.retriever.search("c", text, SearchOptions(mode=Mode.DENSE))
    result = await bench.reranking.search("c", text, SearchOptions(mode=Mode.DENSE))
    assert places(result.hits)[0] == ("mars", 1)
    assert set(places(result.hits)) == set(places(plain.hits))
    assert result.explanation.reranker == "fake"
    assert [stage.stage for stage in result.hits[0].stages] == ["dense", "rerank"]
    expected = await FakeReranker().rerank(text, [result.hits[0].chunk.text])
    assert [result.hits[0].score] == expected
    scores = [hit.score for hit in result.hits]
    assert scores == sorted(scores, reverse=True)


async def test_reranking_can_be_switched_off_and_asked_for_only_with_a_reranker(
    bench: Bench,
) -> None:
    off = await bench.reranking.search("c", "moons", SearchOptions(rerank=False))
    assert off.explanation.reranker is None
    with pytest.raises(InvalidRequest, match="no reranker is configured"):
        await bench.hits("moons", rerank=True)
    assert bench.encoder.calls == 1, "what cannot be served costs no embedding"


async def test_a_failing_reranker_fails_the_search_or_is_skipped_with_a_word(bench: Bench) -> None:
    dead = Retriever(bench.embedder, bench.store, bench.collections, reranker=Dead())
    with pytest.raises(UpstreamUnavailable):
        await dead.search("c", "moons")
    kept = await dead.search("c", "moons", SearchOptions(rerank=Rerank(on_failure=OnFailure.SKIP)))
    assert places(kept.hits) == places(await bench.hits("moons"))
    assert kept.warnings == (
        "reranking was skipped (upstream-unavailable): hits are in the order of hybrid",
    )


async def test_the_threshold_is_held_against_the_rerankers_score(bench: Bench) -> None:
    options = SearchOptions(score_threshold=0.5)
    hits = (await bench.reranking.search("c", "two moons", options)).hits
    assert places(hits) == [("mars", 1)]


async def test_diversity_puts_off_what_says_the_same(bench: Bench) -> None:
    spec = await bench.store.spec("c")
    (same,) = [h for h in await bench.hits("red planet", mode=Mode.DENSE) if h.chunk.index == 0][:1]
    stored = (await bench.store.get("c", [same.id], with_vectors=True))[0]
    assert stored.vector is not None
    copy = replace(stored.chunk, document_id="copy", document_chunks=1)
    await bench.store.upsert(
        "c", [EmbeddedChunk(copy, stored.vector, stored.ingested_at, spec.space)]
    )
    plain = await bench.hits("red planet", mode=Mode.DENSE, limit=2)
    assert {hit.chunk.text for hit in plain} == {stored.chunk.text}
    diverse = await bench.hits("red planet", mode=Mode.DENSE, limit=2, mmr=0.3)
    assert len({hit.chunk.text for hit in diverse}) == 2
    alone = await bench.hits("red planet", mode=Mode.DENSE, mmr=1.0)
    assert places(alone) == places(await bench.hits("red planet", mode=Mode.DENSE))
    assert diverse[0].stages[-1].stage == "mmr"


async def test_documents_are_worth_their_best_chunk_or_all_of_them(bench: Bench) -> None:
    best = await bench.hits("Mars planet", mode=Mode.DENSE, group=Group())
    assert len({hit.chunk.document_id for hit in best}) == len(best) == len(TEXTS)
    both = await bench.hits("Mars planet", mode=Mode.DENSE, group=Group(size=2), limit=2)
    assert [place[0] for place in places(both)[:2]] == ["mars", "mars"]
    summed = await bench.hits("Mars planet", mode=Mode.DENSE, group=Group(GroupScore.SUM))
    single = await bench.hits("Mars planet", mode=Mode.DENSE)
    of_mars = [hit.score for hit in single if hit.chunk.document_id == "mars"]
    assert summed[0].chunk.document_id == "mars"
    assert summed[0].score == pytest.approx(sum(of_mars))


async def test_pages_of_documents_join_to_the_whole(bench: Bench) -> None:
    whole = places(await bench.hits("planet", group=Group()))
    pages = [
        place
        for offset in range(0, 4, 2)
        for place in places(await bench.hits("planet", group=Group(), limit=2, offset=offset))
    ]
    assert pages == whole


async def test_neighbours_are_those_of_the_same_document_in_order(bench: Bench) -> None:
    hits = await bench.hits("two moons", mode=Mode.LEXICAL, neighbours=1)
    assert places(hits)[0] == ("mars", 1)
    assert [chunk.text for chunk in hits[0].neighbours] == [TEXTS["mars"][0], TEXTS["mars"][2]]
    (venus,) = await bench.hits("hottest", mode=Mode.LEXICAL, neighbours=3)
    assert venus.neighbours == ()


async def test_rankings_of_several_texts_are_fused(bench: Bench) -> None:
    both = await bench.hits(["bread", "E1234 disk"], mode=Mode.LEXICAL)
    assert {hit.chunk.document_id for hit in both} == {"bread", "code"}
    assert both[0].score == pytest.approx(rrf_score(1, 60))
    twice = await bench.hits(["bread starter", "bread flour"], mode=Mode.LEXICAL)
    assert twice[0].score == pytest.approx(rrf_score(1, 60) + rrf_score(2, 60))
    assert [stage.stage for stage in twice[0].stages] == ["lexical 1", "lexical 2", "queries"]
    assert len(await bench.hits(["bread", "disk"], score_threshold=1.0)) == 0


async def test_a_batch_answers_each_and_one_that_fails_spoils_no_other(bench: Bench) -> None:
    refused = InvalidRequest("no sense", field="filter")
    answers = await bench.retriever.search_many(
        "c",
        [
            Search(("bread",), SearchOptions(mode=Mode.LEXICAL)),
            Search((" ",), SearchOptions()),
            refused,
            Search(("moons",), SearchOptions(limit=1)),
        ],
    )
    assert [isinstance(answer, SearchResult) for answer in answers] == [True, False, False, True]
    assert isinstance(answers[1], InvalidText)
    assert answers[2] is refused
    alone = await bench.retriever.search("c", "moons", SearchOptions(limit=1))
    last = answers[3]
    assert isinstance(last, SearchResult)
    assert places(last.hits) == places(alone.hits)
    with pytest.raises(CollectionNotFound):
        await bench.retriever.search_many("nowhere", [])


async def test_the_first_pass_is_taken_where_there_are_short_vectors(bench: Bench) -> None:
    how = (await bench.retriever.search("c", "planet")).explanation
    assert (how.coarse_size, how.coarse_oversampling) == (128, 10.0)
    for off in (SearchOptions(coarse=False), SearchOptions(exact=True)):
        result = await bench.retriever.search("c", "planet", off)
        assert result.explanation.coarse_size is None
    assert len(await bench.hits("planet", coarse=128)) == 7
    with pytest.raises(InvalidRequest, match="no short vectors of size 1024"):
        await bench.hits("planet", coarse=1024)
    await bench.collections.create("plain")
    with pytest.raises(InvalidRequest, match="has no short vectors"):
        await bench.retriever.search("plain", "x", SearchOptions(coarse=True))


async def test_an_explanation_tells_candidates_in_and_out_of_every_stage(bench: Bench) -> None:
    options = SearchOptions(
        mmr=0.5, group=Group(), neighbours=1, limit=2, trace_id="t-1", explain=True
    )
    how = (await bench.reranking.search("c", "Mars planet", options)).explanation
    assert how.trace_id == "t-1"
    assert [(s.stage, s.candidates, s.hits) for s in how.stages] == [
        ("hybrid", 11, 7),
        ("rerank", 7, 7),
        ("mmr", 7, 7),
        ("group", 7, 2),
        ("page", 2, 2),
        ("neighbours", 2, 2),
    ]
    assert all(stage.seconds >= 0 for stage in how.stages)
    silent = (await bench.retriever.search("c", "x")).explanation
    assert (len(silent.trace_id), silent.stages[0].passes) == (32, ())


async def test_an_explanation_tells_the_looks_through_the_collection(bench: Bench) -> None:
    """Over short vectors, then full ones, and for words; by number where there are several texts."""

    async def told(text: str | list[str], mode: Mode) -> list[tuple[str, int, int]]:
        options = SearchOptions(explain=True, limit=2, candidates=3, mode=mode)
        how = (await bench.retriever.search("c", text, options)).explanation
        first = how.stages[0]
        assert all(0 <= one.seconds <= first.seconds for one in first.passes)
        passes = [(one.stage, one.candidates, one.hits) for one in first.passes]
        return [(first.stage, first.candidates, first.hits), *passes]

    assert await told("Mars planet", Mode.DENSE) == [("dense", 7, 2), ("coarse", 0, 7)]
    assert await told("Mars planet", Mode.HYBRID) == [
        *[("hybrid", 6, 2), ("coarse", 0, 7), ("dense", 7, 3), ("lexical", 0, 3)]
    ]
    assert await told("Mars planet", Mode.LEXICAL) == [("lexical", 0, 2)]
    assert await told(["Mars", "bread"], Mode.DENSE) == [
        *[("dense", 6, 2), ("coarse 1", 0, 7), ("dense 1", 7, 3)],
        *[("coarse 2", 0, 7), ("dense 2", 7, 3)],
    ]
    hit = (await bench.hits("Mars planet", explain=True))[0]
    assert [score.stage for score in hit.stages] == ["coarse", "dense", "lexical", "hybrid"]


async def test_what_is_not_used_of_a_fusion_is_told_and_not_explained(bench: Bench) -> None:
    dbsf = Fusion(FusionMethod.DBSF, k=7)

    async def told(text: str | list[str], mode: Mode) -> tuple[str, Fusion | None]:
        options = SearchOptions(mode=mode, fusion=dbsf)
        found = await bench.retriever.search("c", text, options)
        return "".join(found.warnings), found.explanation.fusion

    assert await told(["Mars", "bread"], Mode.HYBRID) == ("", dbsf)
    words, fusion = await told("Mars", Mode.HYBRID)
    assert "k of fusion is of ranks" in words
    assert fusion == dbsf
    words, fusion = await told(["Mars", "bread"], Mode.DENSE)
    assert words.startswith("method and weights of fusion are of hybrid searches")
    assert fusion == Fusion(k=7)
    words, fusion = await told("Mars", Mode.LEXICAL)
    assert words.startswith("fusion is of hybrid searches")
    assert fusion is None


async def test_of_several_texts_each_hit_tells_what_every_pass_thought(bench: Bench) -> None:
    texts = ["red planet", "hottest planet"]
    hits = (await bench.retriever.search("c", texts, SearchOptions(explain=True))).hits
    first = [score.stage for score in hits[0].stages]
    for number in (1, 2):
        assert [f"{name} {number}" for name in ("coarse", "dense", "lexical", "hybrid")] == [
            name for name in first if name.endswith(str(number))
        ]
    assert first[-1] == "queries"


async def test_a_first_pass_that_cannot_be_made_is_refused(bench: Bench) -> None:
    for how in ({"exact": True}, {"mode": Mode.LEXICAL}):
        for coarse in (True, 128):
            with pytest.raises(InvalidRequest, match="leave") as refused:
                await bench.hits("planet", coarse=coarse, **how)
            assert refused.value.field == "coarse"
    how = await bench.retriever.search("c", "planet", SearchOptions(mode=Mode.LEXICAL))
    assert (how.explanation.coarse_size, how.explanation.prompt) == (None, None)


async def test_score_fusion_and_filters_reach_both_halves(bench: Bench) -> None:
    hits = await bench.hits(
        "red bread planet", fusion=Fusion(FusionMethod.DBSF), where=Eq("document_id", "bread")
    )
    assert {hit.chunk.document_id for hit in hits} == {"bread"}
    assert np.all(np.diff([hit.score for hit in hits]) <= 0)


async def test_too_many_texts_are_refused(bench: Bench) -> None:
    for texts in ([], ["x"] * 17):
        with pytest.raises(InvalidRequest, match="1-16 texts"):
            await bench.hits(texts)
