"""The client of TEI's `/rerank` over real servers: parts merged, faults survived, wrong ones refused."""

import asyncio
import math
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from gateway.errors import (
    ConfigurationError,
    InputTooLong,
    UnsupportedServer,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Event, ReplicaChanged, UpstreamRetried, discard
from gateway.modelserver.contract import EMBEDDING, RERANKER
from gateway.modelserver.faults import FaultKind
from gateway.rerankers.tei import TEIReranker
from gateway.tei.refusals import BrokenAnswer
from tests.support.tei_stub import TEIStub
from tests.support.word_scorer import WordScorer, logit

pytestmark = pytest.mark.anyio

MODEL = "tiny/reranker"
QUERY = "Which planet is red?"
TEXTS = [
    "Mars is the red planet.",
    "The stock market fell.",
    "planet",
    "",
    "Красная планета — Марс 🔴",
    "Mars is the red planet.",
    "is " * 500 + "red planet which",
]
LOGITS = [logit(QUERY, text) for text in TEXTS]
PROBABILITIES = [1 / (1 + math.exp(-one)) for one in LOGITS]


def served(**options: Any) -> TEIStub:
    """A reranker; by default its clients may send three texts at once."""
    usual: dict[str, Any] = {"model_type": RERANKER, "model_id": MODEL, "max_client_batch_size": 3}
    return TEIStub(reranker=WordScorer(), **(usual | options))


@pytest.fixture
def stub() -> Generator[TEIStub, None, None]:
    with served() as running:
        yield running


@pytest.fixture
def twin() -> Generator[TEIStub, None, None]:
    with served() as running:
        yield running


@asynccontextmanager
async def connected(*urls: str, **options: Any) -> AsyncGenerator[TEIReranker, None]:
    async with aclosing(await TEIReranker.connect(urls, **options)) as made:
        yield made


def sent(stub: TEIStub) -> int:
    return stub.log.paths.count("/rerank")


async def test_parts_of_one_call_are_merged_in_the_order_of_the_texts(stub: TEIStub) -> None:
    async with connected(stub.url, model=MODEL) as reranker:
        scores = await reranker.rerank(QUERY, TEXTS)
    assert scores == pytest.approx(PROBABILITIES, abs=1e-6)
    assert sent(stub) == 3
    assert scores[0] == scores[5] > scores[2] > scores[1]


async def test_raw_scores_are_the_models_own_numbers(stub: TEIStub) -> None:
    async with connected(stub.url, raw=True) as reranker:
        assert await reranker.rerank(QUERY, TEXTS) == pytest.approx(LOGITS, abs=1e-6)
        assert reranker.info.raw
        assert (reranker.info.kind, reranker.info.model_id) == ("tei", MODEL)


async def test_long_texts_are_cut_also_where_the_server_cuts_nothing_by_itself() -> None:
    with served(auto_truncate=False) as stub:
        async with connected(stub.url) as reranker:
            scores = await reranker.rerank(QUERY, [TEXTS[6]])
    assert scores == pytest.approx([PROBABILITIES[6]], abs=1e-6)


async def test_nothing_is_sent_for_no_texts(stub: TEIStub) -> None:
    async with connected(stub.url) as reranker:
        assert await reranker.rerank(QUERY, []) == []
    assert sent(stub) == 0


async def test_bodies_stay_under_the_payload_limit_of_tei() -> None:
    texts = ["red " * 150_000] * 4  # 2.4 MB in all
    with served(max_client_batch_size=32) as stub:
        async with connected(stub.url) as reranker:
            assert len(await reranker.rerank(QUERY, texts)) == 4
            assert stub.log.largest_body < 1_000_000
            with pytest.raises(InputTooLong) as caught:
                await reranker.rerank(QUERY, ["a", "red " * 300_000])
    assert caught.value.index == 1


async def test_what_is_too_much_for_a_proxy_is_sent_in_halves() -> None:
    texts = [f"red planet number {number} " + "is " * 300 for number in range(8)]
    with served(max_client_batch_size=32, payload_limit=2_500) as stub:  # which /info does not tell
        async with connected(stub.url) as reranker:
            scores = await reranker.rerank(QUERY, texts)
    assert scores == pytest.approx([1 / (1 + math.exp(-logit(QUERY, t))) for t in texts], abs=1e-6)


@pytest.mark.parametrize(
    "kind",
    ["overloaded", "backend", "unhealthy", "bad-gateway", "reset", "not-json", "null", "too-few"],
)
async def test_a_fault_that_passes_is_survived(stub: TEIStub, kind: FaultKind) -> None:
    events: list[Event] = []
    async with connected(stub.url, sink=events.append) as reranker:
        stub.fail(kind, path="/rerank")
        assert await reranker.rerank(QUERY, TEXTS[:2]) == pytest.approx(PROBABILITIES[:2], abs=1e-6)
    retried = [event.service for event in events if isinstance(event, UpstreamRetried)]
    assert retried == ["rerank"]


@pytest.mark.parametrize("kind", ["null", "too-few", "same-index", "not-json"])
async def test_ranks_without_a_number_for_each_text_are_never_scores(
    stub: TEIStub, kind: FaultKind
) -> None:
    async with connected(stub.url, timeout_seconds=2) as reranker:
        stub.fail(kind, path="/rerank", times=None)
        with pytest.raises(BrokenAnswer) as caught:
            await reranker.rerank(QUERY, TEXTS[:2])
    assert caught.value.service == "rerank"


async def test_a_pause_that_the_server_asks_for_is_kept(stub: TEIStub) -> None:
    loop = asyncio.get_running_loop()
    async with connected(stub.url) as reranker:
        stub.fail("retry-after", path="/rerank", seconds=1.0)
        began = loop.time()
        assert await reranker.rerank(QUERY, TEXTS[:1]) == pytest.approx(PROBABILITIES[:1], abs=1e-6)
        assert loop.time() - began >= 1.0


async def test_a_server_that_stays_full_is_an_error_by_the_deadline(stub: TEIStub) -> None:
    async with connected(stub.url, timeout_seconds=1.5) as reranker:
        stub.fail("overloaded", path="/rerank", times=None)
        async with asyncio.timeout(20):
            with pytest.raises(UpstreamOverloaded) as caught:
                await reranker.rerank(QUERY, TEXTS[:1])
    assert caught.value.service == "rerank"


async def test_a_silent_server_is_an_error_by_the_deadline(stub: TEIStub) -> None:
    async with connected(stub.url, timeout_seconds=1.5) as reranker:
        stub.fail("stall", path="/rerank", times=None, seconds=60)
        async with asyncio.timeout(20):
            with pytest.raises(UpstreamTimeout, match=r"rerank\.timeout_seconds") as caught:
                await reranker.rerank(QUERY, TEXTS[:1])
    assert caught.value.service == "rerank"


async def test_a_dead_server_is_named_by_the_deadline_and_taken_back_when_it_lives() -> None:
    stub = served()
    with stub:
        reranker = await TEIReranker.connect([stub.url], timeout_seconds=2)
        assert await reranker.rerank(QUERY, TEXTS[:1])
    async with aclosing(reranker):
        async with asyncio.timeout(20):
            with pytest.raises(UpstreamUnavailable, match=stub.url) as caught:
                await reranker.rerank(QUERY, TEXTS[:1])
        assert caught.value.service == "rerank"
        assert not (await reranker.health()).ok
        with stub:
            assert await eventually_reranks(reranker) == pytest.approx(PROBABILITIES[:1], abs=1e-6)


async def eventually_reranks(reranker: TEIReranker) -> Sequence[float]:
    async with asyncio.timeout(20):
        while True:
            try:
                return await reranker.rerank(QUERY, TEXTS[:1])
            except UpstreamError:
                await asyncio.sleep(0.05)


async def test_a_server_may_come_after_the_gateway() -> None:
    late = served()
    async with connected(late.url, timeout_seconds=1, model=MODEL) as reranker:
        with pytest.raises(UpstreamUnavailable):
            await reranker.rerank(QUERY, TEXTS[:1])
        assert reranker.info.model_id == MODEL
        with late:
            assert await eventually_reranks(reranker)


async def test_the_other_replica_stands_in_for_one_that_fails(stub: TEIStub, twin: TEIStub) -> None:
    events: list[Event] = []
    async with connected(stub.url, twin.url, sink=events.append) as reranker:
        stub.fail("unhealthy", path="/rerank", times=None)
        for _ in range(12):
            assert await reranker.rerank(QUERY, TEXTS) == pytest.approx(PROBABILITIES, abs=1e-6)
        health = await reranker.health()
    assert health.ok
    left_out = {event.where for event in events if isinstance(event, ReplicaChanged)}
    assert {event.service for event in events if isinstance(event, ReplicaChanged)} == {"rerank"}
    assert stub.url in left_out
    assert sent(twin) > sent(stub)


async def test_a_replica_that_is_away_from_the_start_costs_nothing(stub: TEIStub) -> None:
    away = served()  # never entered: nobody listens
    async with connected(away.url, stub.url) as reranker:
        assert await reranker.rerank(QUERY, TEXTS) == pytest.approx(PROBABILITIES, abs=1e-6)
        health = await reranker.health()
    assert health.ok
    assert away.url in health.detail


async def test_a_server_of_another_kind_is_refused_at_the_start() -> None:
    classifier: dict[str, Any] = {"classifier": {"id2label": {}, "label2id": {}}}
    for kind, model_type in (("embedding", EMBEDDING), ("classifier", classifier)):
        told = rf"is no reranker \({kind}\).*rerank\.urls"
        with served(model_type=model_type) as stub, pytest.raises(UnsupportedServer, match=told):
            await TEIReranker.connect([stub.url])


async def test_a_server_of_another_model_is_refused_and_a_folder_is_not(stub: TEIStub) -> None:
    with pytest.raises(UnsupportedServer, match="serves 'tiny/reranker', not 'another/model'"):
        await TEIReranker.connect([stub.url], model="another/model")
    with served(model_id="/data/reranker") as folder:
        async with connected(folder.url, model="another/model") as reranker:
            assert await reranker.rerank(QUERY, TEXTS[:1])


async def test_a_wrong_replica_is_left_out_while_another_is_right(stub: TEIStub) -> None:
    with served(model_id="another/model") as other:
        async with connected(other.url, stub.url, model=MODEL) as reranker:
            for _ in range(6):
                assert await reranker.rerank(QUERY, TEXTS)
            assert "not 'tiny/reranker'" in (await reranker.health()).detail
        assert sent(other) == 0


async def test_replicas_of_two_models_are_never_mixed(stub: TEIStub) -> None:
    with served(model_id="another/model") as other:
        async with connected(other.url, stub.url) as reranker:
            for _ in range(6):
                assert await reranker.rerank(QUERY, TEXTS)
            assert "their scores cannot be compared" in (await reranker.health()).detail
        assert min(sent(other), sent(stub)) == 0


async def test_another_server_behind_the_address_is_found_out() -> None:
    with served() as first:
        reranker = await TEIReranker.connect([first.url], timeout_seconds=2, model=MODEL)
        assert await reranker.rerank(QUERY, TEXTS)
    async with aclosing(reranker):
        with served(port=first.port, model_id="another/model") as second:
            with pytest.raises((UnsupportedServer, UpstreamUnavailable)):
                await reranker.rerank(QUERY, TEXTS)
            health = await reranker.health()
        assert "serves 'another/model'" in health.detail
        assert not health.ok
        assert second.port == first.port


async def test_a_wrong_key_is_a_matter_of_configuration() -> None:
    with served(api_key="right") as stub:
        with pytest.raises(ConfigurationError, match="API key"):
            await TEIReranker.connect([stub.url], api_key="wrong")
        async with connected(stub.url, api_key="right") as reranker:
            assert await reranker.rerank(QUERY, TEXTS[:1])


async def test_addresses_are_checked_before_anything_is_asked() -> None:
    with pytest.raises(ConfigurationError, match=r"set rerank\.urls"):
        await TEIReranker.connect([])
    with pytest.raises(ConfigurationError, match="http"):
        await TEIReranker.connect(["ftp://host"])


async def test_more_than_a_server_works_on_at_once_waits_its_turn() -> None:
    texts = [f"red planet {number}" for number in range(40)]
    with served(max_concurrent_requests=6) as stub:
        async with connected(stub.url, sink=discard) as reranker:
            calls = [reranker.rerank(QUERY, texts) for _ in range(3)]
            answers = await asyncio.gather(*calls)
        assert stub.most_inputs_in_flight <= 6
    assert answers[0] == answers[1] == answers[2]
