"""The tuner over vectors with a decaying spectrum: what it measures, chooses, keeps and leaves."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ir_measures import Qrel, ScoredDoc

from gateway.domain.calibration import Calibration
from gateway.domain.collections import CollectionSpec, Quantization, Tuning
from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.domain.footprint import footprint
from gateway.domain.search import DenseQuery, Hit, StoreQuery
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.errors import CollectionNotFound, InvalidRequest, UpstreamUnavailable
from gateway.ports import VectorStore
from gateway.retrieval import measuring
from gateway.retrieval.collections import Collections
from gateway.retrieval.measuring import COARSE_OVERSAMPLINGS, TuningPlan
from gateway.retrieval.retrieve import coarse_candidates
from gateway.retrieval.tuning import Tuner
from gateway.vectorstores.edge import EdgeStore
from gateway.vectorstores.memory import MemoryStore
from tests.support.beir import mean_ndcg
from tests.support.spectrum import SpectrumEncoder

pytestmark = pytest.mark.anyio

TOPICS, EACH = 40, 10
PLAN = TuningPlan(queries=40, limit=10)


class Failing(MemoryStore):
    """Fails the n-th query, once armed."""

    left = 10**9

    async def query(self, name: str, query: StoreQuery) -> list[Hit]:
        self.left -= 1
        if self.left < 0:
            raise UpstreamUnavailable("the store is gone", service="memory")
        return await super().query(name, query)


class Bench:
    def __init__(self) -> None:
        prompts = list(EMBEDDING_GEMMA_300M.prompts.values())
        self.embedder = Embedder(EMBEDDING_GEMMA_300M, SpectrumEncoder(prompts=prompts))
        self.store = Failing()
        self.collections = Collections(self.embedder, self.store)
        self.tuner = Tuner(self.embedder, self.store, self.collections)

    async def fill(
        self, *, coarse: int | None = 128, topics: int = TOPICS, store: VectorStore | None = None
    ) -> CollectionSpec:
        held = store or self.store
        spec = await Collections(self.embedder, held).create("docs", size=768, coarse=coarse)
        for topic in range(topics):
            texts = [f"topic{topic} word{topic}x{index} more{index}" for index in range(EACH)]
            await held.upsert("docs", await self._embedded(f"d{topic}", texts))
        return spec

    async def _embedded(self, document: str, texts: Sequence[str]) -> list[EmbeddedChunk]:
        made = await self.embedder.embed(Task.DOCUMENT, [Input(text) for text in texts], size=768)
        return [
            EmbeddedChunk(
                Chunk(document, index, text, 0, len(text), 5, len(texts), "hash"),
                vector,
                "2026-01-01T00:00:00Z",
                self.embedder.space,
            )
            for index, (text, vector) in enumerate(zip(texts, made.vectors, strict=True))
        ]

    async def names(self) -> list[str]:
        return [info.spec.name for info in await self.store.list_collections()]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_first_pass_is_widened_until_the_recall_is_reached_and_no_further(
    bench: Bench,
) -> None:
    await bench.fill()
    report = await bench.tuner.tune("docs", PLAN)
    assert report.chosen is report.trials[-1]
    assert report.trials[-1].recall >= 0.99
    assert all(trial.recall < 0.99 for trial in report.trials[:-1])
    recalls = [trial.recall for trial in report.trials]
    assert recalls == sorted(recalls)
    assert len(report.trials) > 1, "a pass over 128 of 768 components cannot find all at once"
    widths = [trial.tuning.coarse_oversampling for trial in report.trials]
    assert widths == list(COARSE_OVERSAMPLINGS[: len(widths)])


async def test_the_choice_is_kept_with_the_collection_and_the_scratch_one_is_gone(
    bench: Bench,
) -> None:
    before = await bench.fill()
    report = await bench.tuner.tune("docs", PLAN)
    after = await bench.store.spec("docs")
    assert report.chosen is not None
    assert after == replace(before, tuning=report.chosen.tuning)
    assert after.tuning != before.tuning
    assert await bench.names() == ["docs"]
    assert (report.points, report.queries, report.indexed) == (TOPICS * EACH, 40, False)


async def test_a_dry_run_measures_and_changes_nothing(bench: Bench) -> None:
    before = await bench.fill()
    assert (await bench.tuner.tune("docs", PLAN, keep=False)).chosen is not None
    assert await bench.store.spec("docs") == before


async def test_a_recall_out_of_reach_chooses_nothing_and_keeps_what_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "COARSE_OVERSAMPLINGS", (1.0,))
    before = await bench.fill()
    report = await bench.tuner.tune("docs", replace(PLAN, recall=1.0))
    assert report.chosen is None
    assert [trial.recall < 1.0 for trial in report.trials] == [True]
    assert await bench.store.spec("docs") == before


async def test_at_the_tuned_width_two_passes_rank_as_well_as_one(bench: Bench) -> None:
    """Mean nDCG@10 of the coarse-to-fine search is that of the full one, within 0.002."""
    await bench.fill()
    asked = [f"topic{topic} word{topic}x{topic % EACH}" for topic in range(TOPICS)]
    report = await bench.tuner.tune("docs", PLAN, queries=asked)
    assert report.chosen is not None
    spec = await bench.store.spec("docs")
    vectors = (
        await bench.embedder.embed(Task.QUERY, [Input(text) for text in asked], size=768)
    ).vectors
    qrels: list[Qrel] = []
    runs: dict[bool, list[ScoredDoc]] = {True: [], False: []}
    for topic, vector in enumerate(vectors):
        qrels += [
            Qrel(str(topic), f"d{topic}/{index}", 2 if index == topic % EACH else 1)
            for index in range(EACH)
        ]
        for exact, run in runs.items():
            coarse = None if exact else coarse_candidates(spec.tuning.coarse_oversampling, 10)
            query = DenseQuery(vector, 10, spec.space, exact=exact, coarse=coarse)
            run += [
                ScoredDoc(str(topic), f"{hit.chunk.document_id}/{hit.chunk.index}", hit.score)
                for hit in await bench.store.query("docs", query)
            ]
    full, short = (mean_ndcg(qrels, run) for run in runs.values())
    assert full > 0.9
    assert abs(full - short) <= 0.002


async def test_without_short_vectors_a_small_collection_is_searched_exactly(bench: Bench) -> None:
    await bench.fill(coarse=None)
    report = await bench.tuner.tune("docs", PLAN)
    assert [(trial.recall, trial.footprint.searched) for trial in report.trials] == [(1.0, 768 * 4)]


async def test_a_first_pass_that_is_no_faster_than_exact_search_is_told_of(bench: Bench) -> None:
    await bench.fill()
    short = await bench.tuner.tune("docs", PLAN)
    assert short.chosen is not None
    slow, fast = short.chosen.milliseconds + 1, short.chosen.milliseconds - 1
    assert not replace(short, exact_milliseconds=slow).exact_is_as_fast
    assert replace(short, exact_milliseconds=fast).exact_is_as_fast
    assert not replace(short, exact_milliseconds=fast, chosen=None).exact_is_as_fast
    assert not replace(short, exact_milliseconds=fast, coarse=None).exact_is_as_fast


async def test_a_failure_amid_the_trials_leaves_no_scratch_collection(bench: Bench) -> None:
    before = await bench.fill()
    bench.store.left = 60
    with pytest.raises(UpstreamUnavailable):
        await bench.tuner.tune("docs", PLAN)
    assert await bench.names() == ["docs"]
    assert await bench.store.spec("docs") == before


_NOW = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("tuning-scratch.20200101T000000Z.0123456789abcdef", False),
        (f"tuning-scratch.{_NOW}.0123456789abcdef", True),
        ("tuning-scratch.docs", True),
        ("tuning-scratch.20200101T000000Z", True),
        ("tuning-scratch.20209901T000000Z.0123456789abcdef", True),
    ],
)
async def test_only_what_a_killed_run_left_long_ago_is_dropped(
    bench: Bench, name: str, stays: bool
) -> None:
    """Neither a user's collection, whatever its name, nor that of a run which may still go on."""
    spec = await bench.fill()
    other = await bench.store.ensure(replace(spec, name=name, lexical=None, coarse=None))
    assert (await bench.tuner.tune("docs", PLAN, keep=False)).chosen is not None
    assert await bench.names() == (["docs", other.name] if stays else ["docs"])


async def test_two_runs_at_once_do_not_share_a_scratch_collection(bench: Bench) -> None:
    await bench.fill()
    both = (bench.tuner.tune("docs", PLAN, keep=False) for _ in range(2))
    first, second = await asyncio.gather(*both)
    assert [t.recall for t in first.trials] == [t.recall for t in second.trials]
    assert await bench.names() == ["docs"]


async def test_without_an_index_nothing_but_the_first_pass_is_tuned(bench: Bench) -> None:
    """An earlier choice for the whole collection stays, and a calibration that came meanwhile."""
    spec = await bench.fill()
    before = Tuning(Quantization.TURBO4, oversampling=8.0, hnsw_ef=512)
    await bench.store.amend(replace(spec, tuning=before))
    calibration = Calibration((0.1, 0.5), (0.0, 1.0), 40)

    def say(what: str) -> None:
        if what.startswith("trying"):
            found = bench.store._collections["docs"]  # pyright: ignore[reportPrivateUsage]
            found.spec = replace(found.spec, calibrations={"dense": calibration})

    report = await bench.tuner.tune("docs", PLAN, say=say)
    assert report.chosen is not None
    kept = await bench.store.spec("docs")
    assert kept.tuning == replace(
        before, coarse_oversampling=report.chosen.tuning.coarse_oversampling
    )
    assert kept.calibrations == {"dense": calibration}


async def test_a_sample_that_is_too_small_is_told_from_a_small_collection(bench: Bench) -> None:
    await bench.fill()
    with pytest.raises(InvalidRequest, match="5 points are too few") as refused:
        await bench.tuner.tune("docs", replace(PLAN, points=5))
    assert refused.value.field == "points"


@pytest.mark.parametrize(
    "bad", [{"recall": 0.0}, {"recall": 1.2}, {"limit": 0}, {"queries": 0}, {"points": 0}]
)
def test_a_plan_out_of_range_is_refused_by_name(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        TuningPlan(**bad)  # pyright: ignore[reportArgumentType]
    assert caught.value.field == next(iter(bad))


async def test_a_missing_or_too_small_collection_is_refused(bench: Bench) -> None:
    with pytest.raises(CollectionNotFound):
        await bench.tuner.tune("docs", PLAN)
    await bench.fill(topics=1)
    with pytest.raises(InvalidRequest, match="10 chunks: too few"):
        await bench.tuner.tune("docs", PLAN)


def test_candidates_of_the_first_pass_never_fall_below_the_hits_wanted() -> None:
    assert coarse_candidates(0.5, 10) == 10
    assert coarse_candidates(4, 10) == 40
    assert coarse_candidates(None, 10) is None
    assert coarse_candidates(64, 1_000) == 10_000


@pytest.mark.parametrize(
    ("coarse", "kind", "indexed", "want"),
    [
        (None, Quantization.INT8, False, (3072, 0, 0, 3072)),
        (None, Quantization.INT8, True, (3072, 768, 128, 896)),
        (None, Quantization.NONE, True, (3072, 0, 128, 3200)),
        (128, Quantization.INT8, True, (3584, 128, 128, 256)),
        (128, Quantization.BINARY, True, (3584, 16, 128, 144)),
        (256, Quantization.TURBO4, False, (4096, 0, 0, 1024)),
    ],
)
def test_bytes_of_a_chunk_follow_from_its_layout(
    coarse: int | None, kind: Quantization, indexed: bool, want: tuple[int, int, int, int]
) -> None:
    spec = CollectionSpec("c", "p", "s", 768, coarse=coarse, tuning=Tuning(quantization=kind))
    size = footprint(spec, indexed=indexed)
    assert (size.originals, size.quantized, size.graph, size.searched) == want
    assert size.total == sum(want[:3])


async def test_an_index_is_tuned_by_kind_over_the_embedded_engine(tmp_path: Path) -> None:
    """Each kind of copies is built and measured; what is chosen is kept, and searched with."""
    bench = Bench()
    store = await EdgeStore.open(tmp_path, index_from=300)
    tuner = Tuner(bench.embedder, store, Collections(bench.embedder, store))
    kinds = (Quantization.NONE, Quantization.INT8, Quantization.BINARY)
    try:
        before = await bench.fill(coarse=None, store=store)
        report = await tuner.tune("docs", replace(PLAN, queries=20, kinds=kinds))
        assert report.indexed
        assert {trial.tuning.quantization for trial in report.trials} == set(kinds)
        binary = [t for t in report.trials if t.tuning.quantization is Quantization.BINARY]
        assert len(binary) > 1, "one bit a component needs more candidates"
        assert report.chosen is not None
        assert report.chosen.recall >= 0.99
        assert (await store.spec("docs")).tuning == report.chosen.tuning
        assert replace(await store.spec("docs"), tuning=before.tuning) == before
        assert [info.spec.name for info in await store.list_collections()] == ["docs"]
    finally:
        await store.aclose()
