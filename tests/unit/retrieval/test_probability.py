"""Probabilities: told of scores of the measured kind only, and thresholds by them."""

from dataclasses import replace

import pytest

from gateway.domain.calibration import Calibration
from gateway.domain.search import Fusion, FusionMethod
from gateway.errors import InvalidRequest, UpstreamUnavailable
from gateway.rerankers.fake import FakeReranker
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.pipeline import Retriever
from gateway.retrieval.query import Group, GroupScore, Mode, OnFailure, Rerank
from tests.unit.retrieval.test_stages import Bench, Dead

pytestmark = pytest.mark.anyio

RISING = Calibration((0.0, 1.0), (0.1, 0.9), 50)


@pytest.fixture
async def bench() -> Bench:
    """A collection whose dense scores, hybrid scores and reranked hybrid scores are calibrated."""
    bench = Bench()
    await bench.fill()
    spec = await bench.store.spec("c")
    reranked = replace(RISING, reranker="fake")
    kinds = {"dense": RISING, "hybrid": RISING, "hybrid+rerank": reranked}
    await bench.store.amend(replace(spec, calibrations=kinds))
    return bench


async def probabilities(retriever: Retriever, **options: object) -> list[float | None]:
    found = await retriever.search("c", "red planet", SearchOptions(**options))  # pyright: ignore[reportArgumentType]
    assert found.hits
    return [hit.probability for hit in found.hits]


async def test_a_probability_comes_with_every_score_of_a_measured_kind(bench: Bench) -> None:
    for options in ({"mode": Mode.DENSE}, {}, {"group": Group()}, {"mmr": 0.5}):
        hits = await bench.hits("red planet", **options)
        assert [hit.probability for hit in hits] == pytest.approx(
            [0.1 + 0.8 * min(1.0, max(0.0, hit.score)) for hit in hits]
        )
    reranked = (await bench.reranking.search("c", "red planet")).hits
    assert reranked[0].probability == pytest.approx(0.1 + 0.8 * reranked[0].score)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"mode": Mode.LEXICAL}, "--stages lexical --calibrate"),
        ({"mode": Mode.DENSE, "task": "fact_checking"}, "for task 'query', not 'fact_checking'"),
        ({"fusion": Fusion(FusionMethod.DBSF)}, "leave `fusion`"),
        ({"fusion": Fusion(k=10)}, "leave `fusion`"),
        ({"candidates": 3}, "`candidates` out"),
        ({"group": Group(GroupScore.SUM)}, "group by best"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_scores_of_another_kind_have_none_and_cannot_be_held_to_one(
    bench: Bench, options: dict[str, object], why: str
) -> None:
    assert set(await probabilities(bench.retriever, **options)) == {None}
    with pytest.raises(InvalidRequest, match=why) as refused:
        await bench.hits("red planet", **options, probability_threshold=0.5)
    assert refused.value.field == "probability_threshold"
    assert "score_threshold" in str(refused.value)


async def test_fused_texts_have_none(bench: Bench) -> None:
    assert {hit.probability for hit in await bench.hits(["red planet", "bread"])} == {None}
    with pytest.raises(InvalidRequest, match="not `queries`"):
        await bench.hits(["red planet", "bread"], probability_threshold=0.5)


async def test_another_reranker_or_the_same_with_raw_numbers_has_none(bench: Bench) -> None:
    other = FakeReranker(model_id="other")
    retriever = Retriever(bench.embedder, bench.store, bench.collections, reranker=other)
    assert set(await probabilities(retriever)) == {None}
    with pytest.raises(InvalidRequest, match="of reranker 'fake', and 'other' is set"):
        await probabilities(retriever, probability_threshold=0.5)


async def test_a_skipped_reranking_leaves_the_plain_probability(bench: Bench) -> None:
    retriever = Retriever(bench.embedder, bench.store, bench.collections, reranker=Dead())
    options = SearchOptions(rerank=Rerank(on_failure=OnFailure.SKIP))
    hits = (await retriever.search("c", "red planet", options)).hits
    assert hits[0].probability == pytest.approx(0.1 + 0.8 * hits[0].score)
    with pytest.raises(UpstreamUnavailable):
        await retriever.search("c", "red planet")


@pytest.mark.parametrize("options", [{"mode": Mode.DENSE}, {"mode": Mode.HYBRID}])
async def test_a_least_probability_leaves_the_hits_that_have_it(
    bench: Bench, options: dict[str, object]
) -> None:
    every = await bench.hits("red planet", **options)
    middle = every[2].probability
    assert middle is not None
    kept = await bench.hits("red planet", **options, probability_threshold=middle - 1e-9)
    assert [hit.id for hit in kept] == [hit.id for hit in every[:3]]
    assert await bench.hits("red planet", **options, probability_threshold=0.95) == []
    assert len(await bench.hits("red planet", **options, probability_threshold=0.1)) == len(every)


async def test_the_stricter_of_two_thresholds_counts(bench: Bench) -> None:
    every = await bench.hits("red planet", mode=Mode.DENSE)
    strict = SearchOptions(
        mode=Mode.DENSE, score_threshold=every[0].score - 1e-5, probability_threshold=0.1
    )
    assert len((await bench.retriever.search("c", "red planet", strict)).hits) == 1


async def test_a_reranked_search_is_held_to_the_rerankers_probability(bench: Bench) -> None:
    options = SearchOptions(probability_threshold=0.6)
    hits = (await bench.reranking.search("c", "red planet", options)).hits
    assert [hit.chunk.text for hit in hits] == ["Mars is the red planet"]


@pytest.mark.parametrize("least", [-0.1, 1.1])
async def test_a_probability_outside_its_range_is_refused(bench: Bench, least: float) -> None:
    with pytest.raises(InvalidRequest, match="must be 0-1"):
        await bench.hits("red planet", probability_threshold=least)
