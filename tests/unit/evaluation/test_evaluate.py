"""The runner over made-up vectors: real ingest, real retriever, nothing left behind."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.bootstrap import Runtime
from gateway.domain.collections import Quantization
from gateway.embedding.catalog import ALL_MINILM_L6_V2
from gateway.encoders.cached import CachedEncoder
from gateway.encoders.caches.guard import GuardedCache
from gateway.encoders.caches.memory import MemoryCache
from gateway.encoders.fake import FakeEncoder
from gateway.errors import (
    CollectionNotFound,
    InvalidGoldenSet,
    InvalidRequest,
    UpstreamError,
    UpstreamUnavailable,
)
from gateway.evaluation.evaluate import evaluate
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.opening import Asked, evaluate_configured
from gateway.evaluation.plan import Plan, silent
from gateway.evaluation.report_json import report_from_json, report_to_json
from gateway.rerankers.fake import FakeReranker
from gateway.retrieval.explanation import SearchResult
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.pipeline import Retriever
from gateway.settings import load_settings
from tests.support.golden_sets import DOCUMENTS, QRELS, fake_runtime, write_set
from tests.support.ingesting import CountingEncoder

pytestmark = pytest.mark.anyio


@pytest.fixture
def golden(tmp_path: Path) -> GoldenSet:
    return GoldenSet.load(write_set(tmp_path / "little"))


async def collections(runtime: Runtime) -> list[str]:
    return [info.spec.name for info in await runtime.collections.list()]


async def test_every_stage_is_searched_and_measured(golden: GoldenSet) -> None:
    runtime = fake_runtime()
    report = await evaluate(runtime, golden, Plan())
    assert [run.name for run in report.runs] == ["dense", "lexical", "hybrid"]
    for run in report.runs:
        assert run.metrics["ndcg@10"] == pytest.approx(1.0)
        assert [query.query_id for query in run.queries] == ["q1", "q2", "q3"]
        assert run.queries[0].ranking[0].document_id == "otters"
        assert run.intervals["ndcg@10"].low == pytest.approx(1.0)
        assert run.latency.p95_ms >= run.latency.p50_ms > 0
        assert (run.index.chunks, run.index.documents) == (5, 5)
        assert run.index.tokens > 40
        assert run.configuration.quantization == "none"  # nothing is indexed, so all is exact
    assert [run.query_tokens > 12 for run in report.runs] == [True, False, True]
    assert report.recommendation is None  # there is one form, and no choice
    assert await collections(runtime) == []


async def test_nothing_is_measured_deeper_than_rankings_go(golden: GoldenSet) -> None:
    run = (await evaluate(fake_runtime(), golden, Plan(depth=10, stages=("dense",)))).runs[0]
    assert "recall@10" in run.metrics
    assert "recall@100" not in run.metrics
    assert set(run.intervals) == set(run.metrics)


async def test_what_is_left_out_is_told(golden: GoldenSet) -> None:
    told = "\n".join((await evaluate(fake_runtime(), golden, Plan(stages=("dense",)))).warnings)
    assert "1 query has no judgment: left out of every mean" in told
    assert "1 document has no text, and can never be found" in told
    assert "3 queries are few" in told


async def test_collections_of_the_user_are_not_touched(golden: GoldenSet) -> None:
    runtime = fake_runtime()
    await runtime.collections.create("mine")
    await evaluate(runtime, golden, Plan(stages=("dense",)))
    assert await collections(runtime) == ["mine"]


async def test_the_scratch_collection_goes_also_when_it_fails(golden: GoldenSet) -> None:
    encoder = CountingEncoder()
    encoder.down["bread"] = UpstreamUnavailable("gone")
    runtime = fake_runtime(encoder)
    with pytest.raises(UpstreamError, match="gone"):
        await evaluate(runtime, golden, Plan())
    assert await collections(runtime) == []


async def test_a_document_that_cannot_be_embedded_counts_as_not_found(golden: GoldenSet) -> None:
    encoder = CountingEncoder()
    encoder.broken.add("Otters sleep")
    report = await evaluate(fake_runtime(encoder), golden, Plan(stages=("dense",)))
    assert report.runs[0].metrics["recall@100"] == pytest.approx(2 / 3)
    assert any(
        "1 document could not be indexed, not found by any" in text for text in report.warnings
    )


async def test_sizes_come_from_one_encoding_of_each_text(golden: GoldenSet, tmp_path: Path) -> None:
    """Vectors are kept in the cache's folder and cut: a second run encodes nothing at all."""
    settings = load_settings(
        {"encoder": "fake", "store": "memory", "data_dir": tmp_path / "mine"}, environ={}
    )
    asked, cache = Asked(tmp_path / "little"), tmp_path / "cache"
    plan = Plan(stages=("dense",), sizes=(768, 256))
    report = (await evaluate_configured(settings, asked, plan, cache=cache, progress=silent)).report
    assert [(run.name, run.configuration.size) for run in report.runs] == [
        ("dense 768", 768),
        ("dense 256", 256),
    ]
    assert report.recommendation is not None
    again = (await evaluate_configured(settings, asked, plan, cache=cache, progress=silent)).report
    assert [run.metrics for run in again.runs] == [run.metrics for run in report.runs]
    assert not (tmp_path / "mine").exists()
    assert (cache / "vectors.sqlite").is_file()


def caches_below(folder: Path) -> list[str]:
    return [str(path.parent.relative_to(folder)) for path in folder.rglob("vectors.sqlite")]


@pytest.mark.parametrize(
    ("set_already", "given", "kept"),
    [
        ("none", None, "mine/evaluation"),
        ("none", "asked", "asked"),
        ("memory", None, None),
        ("memory", "asked", "asked"),
        ("disk", None, "mine/cache"),
        ("disk", "asked", "asked"),
    ],
)
async def test_vectors_are_kept_where_asked_else_in_the_cache_that_is_set(
    golden: GoldenSet, tmp_path: Path, set_already: str, given: str | None, kept: str | None
) -> None:
    flags = {"encoder": "fake", "store": "memory", "data_dir": tmp_path / "mine"}
    settings = load_settings({**flags, "cache": {"kind": set_already}}, environ={})
    cache = None if given is None else tmp_path / given
    await evaluate_configured(
        settings,
        Asked(tmp_path / "little"),
        Plan(stages=("dense",)),
        cache=cache,
        progress=silent,
    )
    assert caches_below(tmp_path) == ([] if kept is None else [kept])


async def test_each_text_is_encoded_once_whatever_is_interrupted_or_swept(
    golden: GoldenSet,
) -> None:
    encoder = CountingEncoder()
    cache = GuardedCache(MemoryCache(max_bytes=10_000_000))
    cached = CachedEncoder(encoder, cache, "space")
    runtime = fake_runtime(cached)
    encoder.down["why do otters"] = UpstreamUnavailable("gone")
    with pytest.raises(UpstreamUnavailable):
        await evaluate(runtime, golden, Plan(stages=("dense",)))
    assert len(encoder.texts) == 5
    encoder.down.clear()
    await cached.settle()
    await evaluate(runtime, golden, Plan(stages=("dense", "hybrid"), sizes=(768, 512, 256, 128)))
    assert len(set(encoder.texts)) == 8
    assert (
        len(encoder.texts) <= 11
    )  # of 80 asked for; the last ones may be on their way to the cache


async def test_a_sweep_recommends_the_fewest_bytes_that_are_as_good(golden: GoldenSet) -> None:
    report = await evaluate(fake_runtime(), golden, Plan(sweep=True, stages=("dense", "lexical")))
    names = [run.name for run in report.runs]
    assert names == [
        "dense 768 none",
        "lexical",
        "dense 512 none",
        "dense 256 none",
        "dense 128 none",
    ]
    advice = report.recommendation
    assert advice is not None
    words = report.run("lexical").index.searched_bytes
    assert advice.run == "lexical"
    assert f"with {words} bytes a chunk" in advice.why
    assert advice.frontier == ("lexical",)
    assert [each.size for each in report.published[:2]] == [768, 512]


async def test_bytes_are_those_of_vectors_and_words_that_a_stage_looks_through(
    tmp_path: Path,
) -> None:
    documents = {"a": "otter otter bee", "b": "the bee"}
    folder = write_set(tmp_path, documents=documents, queries={"q": "bee"}, qrels=[("q", "b", "1")])
    plan = Plan(stages=("exact", "dense", "lexical", "hybrid"))
    report = await evaluate(fake_runtime(), GoldenSet.load(folder), plan)
    words = 8 * 3 // 2  # otter and bee, and bee: a word counts once in a chunk, a stop word never
    full = 4 * 512
    assert [run.index.searched_bytes for run in report.runs] == [full, full, words, full + words]
    assert {run.index.stored_bytes for run in report.runs} == {full + words}


async def test_bytes_of_words_are_those_of_titles_too(tmp_path: Path) -> None:
    folder = write_set(tmp_path, queries={"q": "bee"}, qrels=[("q", "b", "1")])
    row = {"_id": "b", "title": "Otter and bee", "text": "bee clock"}
    (folder / "corpus.jsonl").write_text(json.dumps(row), "utf-8")
    (run,) = (
        await evaluate(fake_runtime(), GoldenSet.load(folder), Plan(stages=("lexical",)))
    ).runs
    assert run.index.searched_bytes == 8 * 3


async def test_a_first_pass_over_short_vectors_beside_exact_search(golden: GoldenSet) -> None:
    plan = Plan(sweep=True, coarse=256, stages=("exact", "dense"))
    report = await evaluate(fake_runtime(), golden, plan)
    runs = {run.name: run for run in report.runs}
    assert list(runs) == ["exact 768", "dense 768 none", "exact 512", "dense 512 none"]
    assert any("the sweep left out size 256, 128" in text for text in report.warnings)
    assert [run.configuration.coarse for run in runs.values()] == [None, 256, None, 256]
    assert runs["exact 768"].index.searched_bytes == 3 * runs["dense 768 none"].index.searched_bytes
    assert runs["dense 768 none"].metrics == runs["exact 768"].metrics
    with pytest.raises(InvalidRequest, match="not shorter than size 256"):
        await evaluate(fake_runtime(), golden, Plan(sizes=(256,), coarse=512))


async def test_whole_documents_are_cut_at_the_limit_and_that_is_told(tmp_path: Path) -> None:
    long = {**DOCUMENTS, "otters": DOCUMENTS["otters"] + " more words follow" * 200}
    golden = GoldenSet.load(write_set(tmp_path, documents=long))
    profile = replace(ALL_MINILM_L6_V2, max_tokens=64)
    encoder = FakeEncoder(size=profile.full_size, max_tokens=64)
    report = await evaluate(
        fake_runtime(encoder, profile), golden, Plan(whole=True, stages=("dense", "lexical"))
    )
    assert [run.index.chunks for run in report.runs] == [5, 5]
    assert report.runs[0].index.truncated_tokens > 500
    assert report.runs[1].metrics["success@1"] == pytest.approx(1.0)
    assert any("1 document was cut at the model's limit" in text for text in report.warnings)


async def test_a_title_is_read_before_a_whole_text_by_a_model_without_titles(
    tmp_path: Path,
) -> None:
    folder = write_set(tmp_path)
    lines = [
        {"_id": "otters", "title": "Aquatic mammals", "text": "They sleep afloat."},
        {"_id": "bees", "text": "They sleep in a hive."},
        {"_id": "bread", "text": "It rises."},
    ]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines), "utf-8")
    golden = replace(GoldenSet.load(folder), queries={"q1": "aquatic mammals"})
    golden = replace(golden, qrels={"q1": {"otters": 1}})
    profile = ALL_MINILM_L6_V2
    encoder = FakeEncoder(size=profile.full_size, max_tokens=profile.max_tokens)
    runtime = fake_runtime(encoder, profile)
    report = await evaluate(runtime, golden, Plan(whole=True, stages=("dense",)))
    assert report.runs[0].metrics["success@1"] == 1.0


async def test_stages_with_a_reranker_or_diversity_behind(golden: GoldenSet) -> None:
    runtime, reranker = fake_runtime(), FakeReranker()
    retriever = Retriever(runtime.embedder, runtime.store, runtime.collections, reranker=reranker)
    runtime = replace(runtime, retriever=retriever, reranker=reranker)
    stages = ("dense", "dense+rerank", "lexical+mmr", "hybrid+rerank+mmr")
    report = await evaluate(runtime, golden, Plan(stages=stages))
    assert tuple(run.name for run in report.runs) == stages
    assert all(run.metrics["success@1"] > 0.3 for run in report.runs)
    scores = [hit.score for hit in report.run("dense+rerank").queries[0].ranking]
    assert scores != [hit.score for hit in report.run("dense").queries[0].ranking]


async def test_reranking_without_a_reranker_is_refused_before_anything_is_indexed(
    golden: GoldenSet,
) -> None:
    encoder = CountingEncoder()
    with pytest.raises(
        InvalidRequest, match=r"needs a reranker and none is configured: set rerank"
    ):
        await evaluate(fake_runtime(encoder), golden, Plan(stages=("hybrid+rerank",)))
    assert encoder.texts == []


@pytest.mark.parametrize("stage", ["hybrid+", "hybrid+magic", "+rerank", "mmr", "dense+mmr+mmr"])
def test_unknown_stages_are_refused(stage: str) -> None:
    with pytest.raises(InvalidRequest, match=r"with \+rerank or \+mmr behind"):
        Plan(stages=(stage,))


async def test_spans_are_found_by_the_chunks_that_touch_them(tmp_path: Path) -> None:
    filler = " ".join(f"word{i} stands here." for i in range(400))
    answer = "Otters hold hands so that they do not drift apart."
    text = f"{filler} {answer} {filler}"
    start = text.index(answer)
    span = {"query-id": "q1", "corpus-id": "otters", "char_spans": [[start, start + len(answer)]]}
    elsewhere = {"query-id": "q2", "corpus-id": "bees", "char_spans": [[0, 10], [20, 30]]}
    documents = {**DOCUMENTS, "otters": text}
    golden = GoldenSet.load(write_set(tmp_path, documents=documents, spans=[span, elsewhere]))
    run = (await evaluate(fake_runtime(), golden, Plan(stages=("lexical",)))).runs[0]
    assert run.index.chunks > 10
    assert run.metrics["span_recall@1"] == 1.0
    assert run.intervals["span_recall@10"].high == 1.0
    assert "span_recall@1" not in run.queries[2].metrics
    assert run.queries[0].ranking[0].document_id == "otters"


async def test_hits_to_calibrate_by_are_chunks_judged_by_the_spans_of_their_document(
    tmp_path: Path,
) -> None:
    """Of a document with spans the chunks that touch one are relevant, of another one all are."""
    answer = "Otters hold hands."
    told = " ".join(f"Otters swim in river{i} all day and all night long." for i in range(5))
    documents = {"spanned": f"{answer} {told}", "judged": "Otters play.", "other": "Otters eat."}
    span = {"query-id": "q", "corpus-id": "spanned", "char_spans": [[0, len(answer)]]}
    folder = write_set(
        tmp_path,
        documents=documents,
        queries={"q": "otters"},
        qrels=[("q", "spanned", "1"), ("q", "judged", "1"), ("q", "other", "0")],
        spans=[span],
    )
    runtime = fake_runtime(ingest={"chunk_tokens": 16, "overlap_tokens": 0})
    plan = Plan(stages=("dense",), calibrate=True)
    (run,) = (await evaluate(runtime, GoldenSet.load(folder), plan)).runs
    (query,) = run.queries
    assert len(query.ranking) == 3
    assert len(query.hits) == run.index.chunks > 5
    assert sum(hit.relevant for hit in query.hits) == 2


class Late(Retriever):
    """Says of each search that the encoding of its query took an hour."""

    async def search(
        self, collection: str, text: str | Sequence[str], options: SearchOptions | None = None
    ) -> SearchResult:
        found = await super().search(collection, text, options)
        return replace(found, explanation=replace(found.explanation, embed_seconds=3600.0))


async def test_latency_leaves_out_the_encoding_of_the_query(golden: GoldenSet) -> None:
    runtime = fake_runtime()
    late = Late(runtime.embedder, runtime.store, runtime.collections)
    plan = Plan(stages=("dense",))
    (run,) = (await evaluate(replace(runtime, retriever=late), golden, plan)).runs
    hour = 3_600_000
    assert run.latency.p50_ms + hour == pytest.approx(0, abs=hour / 10)


async def test_an_existing_collection_is_searched_as_it_is(golden: GoldenSet) -> None:
    runtime = fake_runtime()
    spec = await runtime.collections.create("mine")
    await runtime.ingestor.ingest(spec, golden.corpus())
    report = await evaluate(runtime, golden, Plan(collection="mine"))
    assert [run.metrics["ndcg@10"] for run in report.runs] == pytest.approx([1.0] * 3)
    assert report.runs[0].configuration.options["collection"] == "mine"
    assert await collections(runtime) == ["mine"]


async def test_rankings_go_as_deep_in_a_collection_that_holds_more_than_the_corpus(
    tmp_path: Path,
) -> None:
    """The judged document comes third, behind two that the set's corpus of one does not have."""
    runtime = fake_runtime(ingest={"chunk_tokens": 16})
    spec = await runtime.collections.create("mine")
    judged = "moon " + "tides and water come and go twice a day " * 10
    texts = {"often": "moon moon moon", "once": "moon water", "judged": judged}
    whole = write_set(
        tmp_path / "all", documents=texts, queries={"q": "moon"}, qrels=[("q", "judged", "1")]
    )
    part = write_set(
        tmp_path / "part",
        documents={"judged": judged},
        queries={"q": "moon"},
        qrels=[("q", "judged", "1")],
    )
    await runtime.ingestor.ingest(spec, GoldenSet.load(whole).corpus())
    plan = Plan(collection="mine", stages=("lexical",))
    (run,) = (await evaluate(runtime, GoldenSet.load(part), plan)).runs
    assert run.metrics["recall@100"] == 1.0
    assert len(run.queries[0].ranking) == 3
    assert run.metrics["ndcg@10"] == pytest.approx(0.5)
    assert run.index.documents == 3 < run.index.chunks


async def test_relevant_documents_that_a_collection_lacks_are_told(golden: GoldenSet) -> None:
    runtime = fake_runtime()
    spec = await runtime.collections.create("mine")
    items = [item for item in golden.corpus() if getattr(item, "id", "") != "bees"]
    await runtime.ingestor.ingest(spec, items)
    report = await evaluate(runtime, golden, Plan(collection="mine", stages=("dense",)))
    assert any("1 of 3 relevant documents are not in" in text for text in report.warnings)


async def test_a_golden_set_of_another_collection_is_refused(golden: GoldenSet) -> None:
    runtime = fake_runtime()
    await runtime.collections.create("mine")
    with pytest.raises(InvalidGoldenSet, match="of another collection: none of its 3 relevant"):
        await evaluate(runtime, golden, Plan(collection="mine"))


async def test_words_are_not_searched_where_none_are_indexed(golden: GoldenSet) -> None:
    runtime = fake_runtime()
    spec = await runtime.collections.create("mine", lexical=None)
    await runtime.ingestor.ingest(spec, golden.corpus())
    with pytest.raises(InvalidRequest, match="no words indexed: give --stages dense"):
        await evaluate(runtime, golden, Plan(collection="mine"))
    report = await evaluate(runtime, golden, Plan(collection="mine", stages=("dense",)))
    assert len(report.runs) == 1


async def test_what_cannot_be_evaluated_is_refused(golden: GoldenSet) -> None:
    runtime = fake_runtime()
    with pytest.raises(CollectionNotFound):
        await evaluate(runtime, golden, Plan(collection="nowhere"))
    with pytest.raises(InvalidRequest, match="has its own size"):
        await evaluate(runtime, golden, Plan(collection="mine", sizes=(128,)))
    with pytest.raises(InvalidRequest, match="no size 100"):
        await evaluate(runtime, golden, Plan(sizes=(100,)))
    with pytest.raises(
        InvalidRequest, match="no stage 'sparse'; take exact, dense, lexical, hybrid"
    ):
        Plan(stages=("sparse",))
    with pytest.raises(InvalidRequest, match="take 10-1000"):
        Plan(depth=0)


async def test_an_english_model_on_russian_queries_is_told(tmp_path: Path) -> None:
    documents = {"otters": "Выдры держатся за руки во сне.", "bees": "Пчёлы танцуют в улье."}
    queries = {"q1": "почему выдры держатся за руки", "q2": "как танцуют пчёлы"}
    qrels = [("q1", "otters", "1"), ("q2", "bees", "1")]
    golden = GoldenSet.load(write_set(tmp_path, documents=documents, queries=queries, qrels=qrels))
    profile = ALL_MINILM_L6_V2
    encoder = FakeEncoder(size=profile.full_size, max_tokens=profile.max_tokens)
    report = await evaluate(fake_runtime(encoder, profile), golden, Plan())
    told = [text for text in report.warnings if "knows en only" in text]
    assert len(told) == 1
    assert told[0].startswith("2 of 2 queries: model 'all-minilm-l6-v2'")


async def test_a_report_survives_being_written(golden: GoldenSet) -> None:
    report = await evaluate(fake_runtime(), golden, Plan(sweep=True))
    data = json.loads(json.dumps(report_to_json(report)))
    read = report_from_json(data)
    assert report_to_json(read) == data
    assert [run.configuration for run in read.runs] == [run.configuration for run in report.runs]
    assert data["runs"][0]["stage"] == "dense"
    assert data["runs"][0]["metrics"]["ndcg@10"] == pytest.approx(1.0)


async def test_variants_stand_beside_the_configured_model(
    golden: GoldenSet, tmp_path: Path
) -> None:
    flags = {"encoder": "fake", "store": "memory", "data_dir": tmp_path / "mine"}
    settings = load_settings(flags, environ={})
    small = load_settings({**flags, "ingest": {"chunk_tokens": 16}}, environ={})
    asked, plan = Asked(tmp_path / "little"), Plan(stages=("dense", "lexical"))
    outcome = await evaluate_configured(
        settings,
        asked,
        plan,
        cache=tmp_path / "cache",
        progress=silent,
        variants={"ingest.chunk_tokens=16": small},
    )
    report = outcome.report
    names = ["dense", "lexical"]
    assert [run.name for run in report.runs] == [
        *names,
        *(f"{n} (ingest.chunk_tokens=16)" for n in names),
    ]
    assert report.runs[2].index.chunks > report.runs[0].index.chunks
    assert len({run.configuration.key for run in report.runs}) == 4
    assert report.recommendation is not None
    with pytest.raises(InvalidRequest, match="leave --variant out"):
        await evaluate_configured(
            settings,
            asked,
            Plan(collection="mine"),
            cache=tmp_path / "cache",
            progress=silent,
            variants={"x": small},
        )


async def test_quantised_runs_on_the_embedded_engine(tmp_path: Path) -> None:
    """A small set is indexed and quantised as a large one would be, in a store of its own."""
    settings = load_settings({"encoder": "fake", "data_dir": tmp_path / "mine"}, environ={})
    write_set(tmp_path / "little", qrels=QRELS)
    kinds = (Quantization.NONE, Quantization.INT8)
    plan = Plan(stages=("exact", "dense", "hybrid"), quantizations=kinds)
    outcome = await evaluate_configured(
        settings, Asked(tmp_path / "little"), plan, cache=tmp_path / "cache", progress=silent
    )
    report = outcome.report
    names = ["exact", "dense none", "hybrid none", "dense int8", "hybrid int8"]
    assert [run.name for run in report.runs] == names
    assert report.run("dense int8").index.searched_bytes < report.runs[1].index.searched_bytes / 2
    assert report.run("dense int8").index.stored_bytes > report.runs[1].index.stored_bytes
    assert [run.metrics["ndcg@10"] for run in report.runs] == pytest.approx([1.0] * 5)
    assert any("5 of 5 chunks are scored again" in text for text in report.warnings)
    assert not (tmp_path / "mine").exists()
