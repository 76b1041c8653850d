"""Words, both at once, and short vectors first: every store answers as the one in memory does."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.domain.calibration import Calibration
from gateway.domain.collections import Quantization, Tuning
from gateway.domain.documents import EmbeddedChunk
from gateway.domain.fusion import fuse
from gateway.domain.lexical import Lexical
from gateway.domain.search import (
    DenseQuery,
    Eq,
    Filter,
    Fusion,
    FusionMethod,
    Hit,
    HybridQuery,
    In,
    LexicalQuery,
    StoreQuery,
)
from gateway.domain.vectors import shorten
from gateway.errors import CollectionMismatch, CollectionNotFound, InvalidRequest, SpaceMismatch
from gateway.events import discard
from gateway.ports import VectorStore
from gateway.vectorstores.edge import EdgeStore
from gateway.vectorstores.edge_launch import WorkerOptions
from gateway.vectorstores.edge_process import EdgeProcess
from gateway.vectorstores.memory import MemoryStore
from tests.contract.stores import SPEC, asking, made, unit

pytestmark = pytest.mark.anyio

WORDS = replace(SPEC, name="words", lexical=Lexical(average_words=4), coarse=4)
VOCABULARY = (
    *[
        "server",
        "servers",
        "serving",
        "timeout",
        "GPT-4",
        "E1234",
        "42",
        "Straße",
        "naïve",
        "error",
        "errors",
        "the",
        "of",
    ],
    *["сервер", "серверы", "сервера", "ошибка", "ошибки", "настройка", "и", "в"],
    *("ταχύς", "ошибкаX1", "snake_case", "a.b.c"),
)
FUSIONS = (
    Fusion(),
    Fusion(k=2),
    Fusion(weights=(1.0, 2.5)),
    Fusion(weights=(0.0, 1.0)),
    Fusion(FusionMethod.DBSF),
)


def lexical(text: str, limit: int = 10, **how: Any) -> LexicalQuery:
    return LexicalQuery(text, limit, SPEC.space, **how)


def hybrid(
    text: str, seed: int = 1, limit: int = 10, candidates: int = 20, **how: Any
) -> HybridQuery:
    """Both halves; `where`, `coarse` and `with_vectors` are those of the dense one."""
    dense = {key: how.pop(key) for key in ("where", "coarse", "with_vectors") if key in how}
    return HybridQuery(asking(unit(seed), 1, **dense), text, limit, candidates, **how)


def document(name: str, text: str, **changes: Any) -> EmbeddedChunk:
    return made(name, text=text, **changes)


async def filled(store: VectorStore, *chunks: EmbeddedChunk) -> VectorStore:
    await store.ensure(WORDS)
    await store.upsert("words", chunks)
    return store


async def names(store: VectorStore, query: StoreQuery) -> list[str]:
    return [hit.chunk.document_id for hit in await store.query("words", query)]


def corpus(seed: int, count: int = 60) -> list[EmbeddedChunk]:
    """Chunks of few words, many alike, some with none to look for; a third of them titled."""
    rng = random.Random(seed)
    return [
        document(
            f"d{index}",
            " ".join(rng.choices(VOCABULARY, k=rng.randint(0, 9))),
            title=rng.choice(VOCABULARY) if rng.random() < 0.3 else None,
            metadata={"tag": rng.choice("ab")},
            vector=unit(rng.randint(0, count // 2)),
        )
        for index in range(count)
    ]


def same(found: Sequence[Hit], wanted: Sequence[Hit]) -> None:
    assert [(hit.id, hit.chunk) for hit in found] == [(hit.id, hit.chunk) for hit in wanted]
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=3e-6)


async def test_words_are_found_whatever_their_form_or_script(store: VectorStore) -> None:
    await filled(
        store,
        document("en", "The servers were running out of memory"),
        document("ru", "Настройки серверов хранятся отдельно"),
        document("mixed", "Ошибка GPT-4: код E1234-567 на 10.5.3.2"),
        document("other", "Bread is baked from flour"),
    )
    assert await names(store, lexical("server run")) == ["en"]
    assert await names(store, lexical("настройка сервера")) == ["ru"]
    assert await names(store, lexical("E1234")) == ["mixed"]
    assert await names(store, lexical("ошибки gpt")) == ["mixed"]
    assert await names(store, lexical("nothing of this")) == []


async def test_spellings_that_people_mix_are_one_word(store: VectorStore) -> None:
    await filled(
        store,
        document("ru", "Зелёная ёлка стоит в лесу"),
        document("stress", "За\u0301мок Шамбо\u0301р построен в XVI ве\u0300ке"),
        document("en", "A naïve résumé of the café"),
        document("wide", "Ｆｕｌｌ width and a ﬁle"),
    )
    for query in ("зеленая елка", "ЗЕЛЁНАЯ", "зеле\u0308ная"):
        assert await names(store, lexical(query)) == ["ru"], query
    for query in ("замок", "шамбор", "шамбо\u0301р", "век"):
        assert await names(store, lexical(query)) == ["stress"], query
    for query in ("naive", "naïve", "nai\u0308ve", "resume cafe"):
        assert await names(store, lexical(query)) == ["en"], query
    assert await names(store, lexical("file")) == await names(store, lexical("full")) == ["wide"]


async def test_a_collection_made_without_folding_is_asked_as_it_was_filled(
    store: VectorStore,
) -> None:
    await store.ensure(replace(WORDS, lexical=Lexical(folding=False)))
    await store.upsert("words", [document("ru", "Зелёная ёлка"), document("en", "naïve")])
    asked = replace(WORDS, lexical=Lexical())
    assert await store.ensure(asked) == await store.spec("words"), "nobody asked for folding"
    assert set(await names(store, lexical("ёлка naïve"))) == {"ru", "en"}
    assert await names(store, lexical("елка naive")) == []


@pytest.mark.parametrize("language", ["french", "german", "spanish"])
async def test_languages_whose_stemmers_go_by_accents_keep_them(
    store: VectorStore, language: str
) -> None:
    await store.ensure(replace(WORDS, lexical=Lexical(language)))
    await store.upsert("words", [document("d", "año été schön")])
    assert await names(store, lexical("ano")) == []
    assert await names(store, lexical("schön an\u0303o")) == ["d"]


async def test_the_words_of_a_title_count(store: VectorStore) -> None:
    await filled(store, document("t", "no such word", title="Penguins"), document("u", "nothing"))
    assert await names(store, lexical("penguin")) == ["t"]


async def test_stop_words_alone_find_nothing_and_spoil_nothing(store: VectorStore) -> None:
    await filled(store, document("d", "the of and"), document("e", "planet"))
    assert await names(store, lexical("the of and")) == []
    assert await names(store, hybrid("the of and", limit=5)) == await names(
        store, asking(unit(1), 5)
    )
    assert len(await store.query("words", asking(unit(1), 5))) == 2


@pytest.mark.parametrize("text", ["the of and", "и в на", "?!", "the E1234", "and планета", "a b"])
async def test_a_store_says_which_texts_have_words_as_its_searches_do(
    store: VectorStore, text: str
) -> None:
    await filled(store, document("all", "planet E1234 планета b"))
    assert store.has_words(Lexical(), text) == bool(await names(store, lexical(text)))


async def test_a_rare_word_weighs_more_and_a_filter_does_not_change_its_weight(
    store: VectorStore,
) -> None:
    await filled(
        store,
        *(document(f"c{i}", "common", metadata={"tag": "a"}) for i in range(9)),
        document("rare", "common rare", metadata={"tag": "b"}),
    )
    first, second = (await store.query("words", lexical("common rare", 2)))[:2]
    assert first.chunk.document_id == "rare"
    assert first.score > 3 * second.score
    filtered = await store.query("words", lexical("rare", where=Eq("metadata.tag", "b")))
    assert [hit.score for hit in filtered] == pytest.approx(
        [hit.score for hit in await store.query("words", lexical("rare"))]
    )
    assert await names(store, lexical("rare", where=Eq("metadata.tag", "a"))) == []


async def test_replacing_and_deleting_chunks_changes_what_words_find(store: VectorStore) -> None:
    await filled(store, document("x", "zebra"), document("y", "zebra crossing"))
    await store.upsert("words", [document("x", "lion")])
    assert await names(store, lexical("zebra")) == ["y"]
    assert await names(store, lexical("lion")) == ["x"]
    await store.delete("words", Eq("document_id", "y"))
    assert await names(store, lexical("zebra")) == []


async def test_nothing_is_found_in_an_empty_collection(store: VectorStore) -> None:
    await filled(store)
    for query in (lexical("zebra"), hybrid("zebra"), asking(unit(1), 3, coarse=3)):
        assert await store.query("words", query) == []


@pytest.mark.parametrize("seed", range(6))
async def test_random_queries_are_answered_as_memory_answers_them(
    store: VectorStore, seed: int
) -> None:
    chunks, rng = corpus(seed), random.Random(seed)
    oracle = await filled(MemoryStore(), *chunks)
    await filled(store, *chunks)
    for number in range(12):
        text = " ".join(rng.choices(VOCABULARY, k=rng.randint(1, 4)))
        where = rng.choice((None, Eq("metadata.tag", "a"), In("metadata.tag", ("a", "b"))))
        page: dict[str, Any] = {"limit": rng.randint(1, 12), "offset": rng.randint(0, 5)}
        queries: list[StoreQuery] = [
            LexicalQuery(text, space=SPEC.space, where=where, **page),
            DenseQuery(unit(number), space=SPEC.space, where=where, coarse=len(chunks), **page),
            HybridQuery(
                asking(unit(number), 1, where=where),
                text,
                candidates=25,
                fusion=rng.choice(FUSIONS),
                explain=True,
                **page,
            ),
        ]
        for query in queries:
            found, wanted = await store.query("words", query), await oracle.query("words", query)
            same(found, wanted)
            assert [hit.stages for hit in found] == [
                tuple(replace(s, score=pytest.approx(s.score, abs=3e-6)) for s in hit.stages)
                for hit in wanted
            ]


@pytest.mark.parametrize("fusion", FUSIONS, ids=lambda f: f"{f.method}-{f.k}-{f.weights[1]}")
async def test_the_engine_fuses_as_our_own_functions_do(store: VectorStore, fusion: Fusion) -> None:
    """Without ties, which the engine breaks in its own way before it counts ranks."""
    words = [f"w{index}" for index in range(12)]
    await filled(
        store,
        *(document(f"d{i}", " ".join(words[i:]), vector=unit(i)) for i in range(len(words))),
    )
    text = " ".join(words)
    halves = [
        await store.query("words", asking(unit(3), 8)),
        await store.query("words", lexical(text, 8)),
    ]
    wanted = fuse([[(hit.id, hit.score) for hit in half] for half in halves], fusion)
    found = await store.query("words", hybrid(text, 3, limit=20, candidates=8, fusion=fusion))
    assert {hit.id: hit.score for hit in found} == pytest.approx(wanted, abs=3e-6)
    assert [hit.score for hit in found] == sorted((h.score for h in found), reverse=True)


async def test_pages_of_a_hybrid_search_join_to_the_whole(store: VectorStore) -> None:
    await filled(store, *corpus(7))
    query = hybrid("server ошибка timeout", limit=30, candidates=40, explain=True)
    whole = await store.query("words", query)
    pages = [
        hit
        for offset in range(0, 30, 7)
        for hit in await store.query("words", replace(query, offset=offset, limit=7))
    ]
    assert [hit.id for hit in pages[:30]] == [hit.id for hit in whole]


async def test_an_explained_hybrid_hit_tells_score_and_rank_of_each_half(
    store: VectorStore,
) -> None:
    await filled(
        store, document("w", "zebra", vector=unit(5)), document("v", "lion", vector=unit(1))
    )
    hits = await store.query("words", hybrid("zebra", 1, explain=True))
    told = {hit.chunk.document_id: {s.stage: s.rank for s in hit.stages} for hit in hits}
    assert told == {"w": {"dense": 2, "lexical": 1}, "v": {"dense": 1}}
    dense = {hit.id: hit.score for hit in await store.query("words", asking(unit(1), 2))}
    for hit in hits:
        assert {s.stage: s.score for s in hit.stages}["dense"] == pytest.approx(dense[hit.id])


@pytest.mark.parametrize("where", [None, Eq("metadata.tag", "a")])
async def test_an_explained_first_pass_tells_what_it_left_and_changes_no_hit(
    store: VectorStore, where: Filter | None
) -> None:
    chunks = [
        document(f"d{i}", "zebra" if i % 3 else "x", metadata={"tag": "ab"[i % 2]}, vector=unit(i))
        for i in range(40)
    ]
    await filled(store, *chunks)
    asked = asking(unit(99), 4, coarse=12, where=where)
    told = replace(asked, explain=True)
    hits = await store.query("words", told)
    same(hits, await store.query("words", asked))
    short = shorten(np.stack([chunk.vector for chunk in chunks]), 4)
    scores = short @ shorten(unit(99)[np.newaxis, :], 4)[0]
    possible = [i for i in np.argsort(-scores).tolist() if where is None or i % 2 == 0]
    ranks = {f"d{index}": rank for rank, index in enumerate(possible[:12], start=1)}
    for hit in hits:
        (coarse,) = hit.stages
        assert (coarse.stage, coarse.rank) == ("coarse", ranks[hit.chunk.document_id])
        index = int(hit.chunk.document_id[1:])
        assert coarse.score == pytest.approx(float(scores[index]), abs=3e-6)
    assert [(p.stage, p.candidates, p.hits) for p in told.passes] == [("coarse", 0, 12)]
    assert all(p.seconds > 0 for p in told.passes)


async def test_an_explained_hybrid_search_tells_its_passes(store: VectorStore) -> None:
    words = [f"w{index}" for index in range(5)]
    chunks = [document(f"d{i}", " ".join(words[i:]) or "x", vector=unit(i)) for i in range(30)]
    await filled(store, *chunks)
    plain = hybrid(" ".join(words), limit=10, candidates=8, coarse=12)
    told = replace(plain, explain=True)
    found = await store.query("words", told)
    same(found, await store.query("words", plain))
    assert [(p.stage, p.candidates, p.hits) for p in told.passes] == [
        ("coarse", 0, 12),
        ("dense", 12, 8),
        ("lexical", 0, 5),
    ]
    assert plain.passes == []
    stages = [[score.stage for score in hit.stages] for hit in found]
    assert all(
        s
        in (["coarse", "dense"], ["coarse", "dense", "lexical"], ["lexical"], ["coarse", "lexical"])
        for s in stages
    )
    assert ["coarse", "dense"] in stages


async def test_an_explained_search_for_what_no_chunk_has_tells_empty_passes(
    store: VectorStore,
) -> None:
    await filled(store, *corpus(15))
    nowhere = Eq("metadata.tag", "z")
    told = hybrid("server", coarse=5, where=nowhere, explain=True)
    assert await store.query("words", told) == []
    assert [(p.stage, p.candidates, p.hits) for p in told.passes] == [
        ("coarse", 0, 0),
        ("dense", 0, 0),
        ("lexical", 0, 0),
    ]


async def test_a_threshold_holds_for_the_score_that_is_returned(store: VectorStore) -> None:
    await filled(store, *corpus(8))
    for query in (lexical("server ошибка", 40), hybrid("server ошибка", limit=40, candidates=40)):
        whole = await store.query("words", query)
        bar = whole[len(whole) // 2].score
        some = await store.query("words", replace(query, score_threshold=bar))
        assert [hit.id for hit in some] == [hit.id for hit in whole if hit.score >= bar]


async def test_a_first_pass_that_keeps_all_changes_nothing(store: VectorStore) -> None:
    await filled(store, *corpus(9))
    exact = await store.query("words", asking(unit(2), 10))
    same(await store.query("words", asking(unit(2), 10, coarse=1000)), exact)
    scores = [hit.score for hit in await store.query("words", asking(unit(2), 10, coarse=10))]
    assert all(a <= b + 1e-6 for a, b in zip(scores, (h.score for h in exact), strict=True))


async def test_the_first_pass_ranks_by_the_short_vectors(store: VectorStore) -> None:
    chunks = [document(f"d{i}", "x", vector=unit(i)) for i in range(30)]
    await filled(store, *chunks)
    short = shorten(np.stack([chunk.vector for chunk in chunks]), 4)
    near = np.argsort(-(short @ shorten(unit(99)[np.newaxis, :], 4)[0]))[:5]
    found = await names(store, asking(unit(99), 5, coarse=5))
    assert set(found) == {f"d{i}" for i in near}


async def test_vectors_come_with_the_hits_when_asked_for(store: VectorStore) -> None:
    chunks = corpus(10, count=12)
    await filled(store, *chunks)
    stored = {chunk.chunk.document_id: chunk.vector for chunk in chunks}
    for query in (
        asking(unit(1), 5, with_vectors=True),
        lexical("server ошибка timeout error", with_vectors=True),
        hybrid("server", with_vectors=True),
    ):
        hits = await store.query("words", query)
        assert hits
        for hit in hits:
            assert hit.vector is not None
            np.testing.assert_allclose(hit.vector, stored[hit.chunk.document_id], atol=1e-6)
    assert all(hit.vector is None for hit in await store.query("words", asking(unit(1), 3)))


async def test_tuning_and_calibrations_can_be_amended_and_nothing_else(store: VectorStore) -> None:
    await filled(store, *corpus(11))
    before = await store.query("words", asking(unit(1), 5))
    wanted = replace(
        WORDS,
        tuning=Tuning(Quantization.NONE, 3.0, 5.0, 200),
        calibrations={"dense": Calibration((0.1, 0.5), (0.0, 1.0), 40)},
    )
    assert await store.amend(wanted) == wanted
    assert await store.spec("words") == wanted
    same(await store.query("words", asking(unit(1), 5)), before)
    with pytest.raises(CollectionMismatch):
        await store.amend(replace(wanted, coarse=8))
    with pytest.raises(SpaceMismatch):
        await store.amend(replace(wanted, space="another"))
    with pytest.raises(CollectionNotFound):
        await store.amend(replace(wanted, name="missing"))
    assert await store.spec("words") == wanted


async def test_a_small_collection_is_told_to_have_no_index(store: VectorStore) -> None:
    await filled(store, *corpus(12))
    assert await store.optimize("words") is False


async def test_what_a_collection_lacks_is_refused_with_the_remedy(store: VectorStore) -> None:
    await store.ensure(SPEC)
    await store.upsert("docs", [made()])
    for query in (lexical("text"), hybrid("text")):
        with pytest.raises(InvalidRequest, match="no lexical vectors: search it by mode dense"):
            await store.query("docs", query)
    with pytest.raises(InvalidRequest, match="no short vectors"):
        await store.query("docs", asking(unit(1), 1, coarse=10))
    with pytest.raises(CollectionMismatch, match="indexes no words, and one was asked for"):
        await store.ensure(replace(WORDS, name="docs"))


@pytest.mark.parametrize(
    "bad",
    [
        lexical("x", 0),
        lexical("x", 10_001),
        hybrid("x", limit=0),
        hybrid("x", candidates=0),
        hybrid("x", candidates=10_001),
        asking(unit(1), 1, coarse=0),
        replace(lexical("x"), offset=-1),
        replace(lexical("x"), score_threshold=float("nan")),
    ],
)
async def test_numbers_out_of_range_are_refused(store: VectorStore, bad: StoreQuery) -> None:
    await filled(store)
    with pytest.raises(InvalidRequest):
        await store.query("words", bad)


async def test_no_query_crosses_spaces(store: VectorStore) -> None:
    await filled(store, document("d", "zebra"))
    dense = replace(asking(unit(1), 1), space="another")
    for query in (
        replace(lexical("zebra"), space="another"),
        replace(hybrid("zebra"), dense=dense),
    ):
        with pytest.raises(SpaceMismatch):
            await store.query("words", query)


async def test_the_embedded_store_keeps_it_all_over_a_restart(tmp_path: Path) -> None:
    wanted = replace(WORDS, tuning=Tuning(Quantization.TURBO4, 4.0, 2.0, 64))
    queries = (lexical("server"), hybrid("42", with_vectors=True), asking(unit(1), 5, coarse=9))
    store = await EdgeStore.open(tmp_path)
    await filled(store, *corpus(13))
    await store.amend(wanted)
    before = [await store.query("words", query) for query in queries]
    await store.aclose()
    again = await EdgeStore.open(tmp_path)
    try:
        assert await again.spec("words") == wanted
        for query, kept in zip(queries, before, strict=True):
            same(await again.query("words", query), kept)
    finally:
        await again.aclose()


def make_newer(folder: Path) -> None:
    """Let the collection of words say something that no gateway knows yet."""
    (kept,) = [p for p in folder.rglob("spec.json") if '"words"' in p.read_text("utf-8")]
    text = kept.read_text("utf-8")
    kept.write_text(text.replace('"folding"', '"phonetics": "soundex", "folding"'), "utf-8")


async def test_a_collection_of_a_newer_gateway_hides_no_other(tmp_path: Path) -> None:
    store = await EdgeStore.open(tmp_path)
    await filled(store, *corpus(16))
    await store.ensure(SPEC)
    await store.aclose()
    make_newer(tmp_path)
    again = await EdgeStore.open(tmp_path)
    try:
        assert [info.spec.name for info in await again.list_collections()] == [SPEC.name]
        with pytest.raises(CollectionMismatch, match="'words' cannot be read: it says phonetics"):
            await again.query("words", lexical("server"))
        with pytest.raises(CollectionMismatch, match="'words' cannot be read"):
            await again.ensure(WORDS)
    finally:
        await again.aclose()


async def test_an_index_changes_neither_words_nor_ranks(tmp_path: Path) -> None:
    """Segments merged, quantised copies built, another kind of them: the same hits."""
    options = WorkerOptions(tmp_path, 3.0, False, 60.0, discard, index_from=50)
    process = EdgeProcess(options)
    await process.start()
    store = EdgeStore(tmp_path, process)
    try:
        await filled(store, *corpus(14, count=120))
        asked = (
            lexical("server ошибка", 20),
            hybrid("server ошибка", limit=20, candidates=60),
            hybrid("server ошибка", limit=20, candidates=60, coarse=120, explain=True),
        )
        before = [await store.query("words", query) for query in asked]
        for kind in (Quantization.INT8, Quantization.TURBO4, Quantization.NONE):
            await store.amend(replace(WORDS, tuning=Tuning(kind)))
            assert await store.optimize("words") is True
            for query, kept in zip(asked, before, strict=True):
                same(await store.query("words", query), kept)
    finally:
        await store.aclose()
