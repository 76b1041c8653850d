"""One suite judges every reranker: made-up scores, sentence-transformers, and TEI's `/rerank`."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

import torch
from sentence_transformers import CrossEncoder

from gateway.encoders.cross import CrossEncoderScorer
from gateway.errors import (
    ConfigurationError,
    UnsupportedServer,
    UpstreamOverloaded,
    UpstreamUnavailable,
)
from gateway.events import Event, UpstreamRetried
from gateway.modelserver.contract import EMBEDDING, RERANKER
from gateway.ports import Reranker
from gateway.rerankers.catalogue import DEFAULT_MODEL, require_served_by_tei
from gateway.rerankers.fake import FakeReranker
from gateway.rerankers.local import LocalReranker
from gateway.rerankers.tei import TEIReranker
from tests.support.tei_stub import TEIStub
from tests.support.tiny_cross import build_tiny_cross_encoder

pytestmark = pytest.mark.anyio

QUERY = "Which planet is red?"
TEXTS = [
    "Mars is the red planet.",
    "The stock market fell.",
    "Venus is Earth's twin.",
    "a",
    "Красная планета — Марс 🔴",
    "Mars is the red planet.",
    "word " * 500,
]
MODEL = "tiny/reranker"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_cross_encoder(tmp_path_factory.mktemp("cross") / "tiny-cross-encoder")


@pytest.fixture(scope="module")
def logits(folder: Path) -> list[float]:
    model: Any = CrossEncoder(str(folder), device="cpu")
    pairs = [(QUERY, text) for text in TEXTS]
    return model.predict(pairs, activation_fn=torch.nn.Identity()).tolist()


@pytest.fixture(scope="module")
def stub(folder: Path) -> Generator[TEIStub, None, None]:
    """A server whose clients may send three texts at once: the suite's seven are three requests."""
    scorer = asyncio.run(CrossEncoderScorer.load(str(folder)))
    with TEIStub(
        reranker=scorer, model_type=RERANKER, model_id=MODEL, max_client_batch_size=3
    ) as served:
        yield served
    asyncio.run(scorer.aclose())


@pytest.fixture(autouse=True)
def healed(stub: TEIStub) -> Generator[None, None, None]:
    yield
    stub.heal()


async def opened(kind: str, folder: Path, stub: TEIStub, *, raw: bool = False) -> Reranker:
    if kind == "fake":
        return FakeReranker()
    if kind == "local":
        return await LocalReranker.load(str(folder), raw=raw)
    return await TEIReranker.connect([stub.url], model=MODEL, raw=raw)


@pytest.fixture(params=["fake", "local", "tei"])
async def reranker(
    request: pytest.FixtureRequest, folder: Path, stub: TEIStub
) -> AsyncGenerator[Reranker, None]:
    made = await opened(request.param, folder, stub)
    yield made
    await made.aclose()


async def test_there_is_one_score_a_text_in_the_order_of_the_texts(reranker: Reranker) -> None:
    scores = await reranker.rerank(QUERY, TEXTS)
    assert len(scores) == len(TEXTS)
    assert scores[0] == pytest.approx(scores[5], abs=1e-6), "equal texts score the same"
    backwards = await reranker.rerank(QUERY, TEXTS[::-1])
    assert backwards[::-1] == pytest.approx(scores, abs=1e-5)
    assert all(0 <= score <= 1 for score in scores)


async def test_nothing_scores_nothing(reranker: Reranker) -> None:
    assert await reranker.rerank(QUERY, []) == []


async def test_it_says_what_it_is_and_is_well(reranker: Reranker) -> None:
    assert reranker.info.kind in {"fake", "local", "tei"}
    assert (await reranker.health()).ok


@pytest.mark.parametrize("kind", ["local", "tei"])
@pytest.mark.parametrize("raw", [False, True])
async def test_scores_are_those_of_sentence_transformers(
    folder: Path, stub: TEIStub, logits: list[float], kind: str, raw: bool
) -> None:
    made = await opened(kind, folder, stub, raw=raw)
    try:
        scores = await made.rerank(QUERY, TEXTS)
    finally:
        await made.aclose()
    values = np.asarray(logits)
    wanted = values if raw else 1 / (1 + np.exp(-values))
    np.testing.assert_allclose(scores, wanted, atol=1e-4)
    assert made.info.raw is raw


async def test_a_full_server_and_a_failed_pass_are_asked_again(stub: TEIStub) -> None:
    events: list[Event] = []
    made = await TEIReranker.connect([stub.url], sink=events.append)
    try:
        wanted = await made.rerank(QUERY, TEXTS[:2])
        for kind in ("overloaded", "backend"):
            stub.fail(kind, path="/rerank")
            assert await made.rerank(QUERY, TEXTS[:2]) == pytest.approx(wanted, abs=1e-6)
    finally:
        await made.aclose()
    retried = [event.service for event in events if isinstance(event, UpstreamRetried)]
    assert retried == ["rerank", "rerank"]


async def test_a_server_that_stays_full_is_an_error_within_the_deadline(stub: TEIStub) -> None:
    stub.fail("overloaded", path="/rerank", times=None)
    made = await TEIReranker.connect([stub.url], timeout_seconds=0.5)
    try:
        async with asyncio.timeout(20):
            with pytest.raises((UpstreamOverloaded, UpstreamUnavailable)) as caught:
                await made.rerank(QUERY, TEXTS[:1])
    finally:
        await made.aclose()
    assert caught.value.service == "rerank"


async def test_a_second_server_stands_in_for_one_that_is_away(stub: TEIStub) -> None:
    away = TEIStub()  # never entered: nobody listens
    made = await TEIReranker.connect([away.url, stub.url], timeout_seconds=20)
    try:
        assert len(await made.rerank(QUERY, TEXTS)) == len(TEXTS)
        assert (await made.health()).ok
    finally:
        await made.aclose()


async def test_a_server_that_is_away_is_named() -> None:
    made = await TEIReranker.connect([TEIStub().url], timeout_seconds=0.5)
    try:
        async with asyncio.timeout(20):
            with pytest.raises(UpstreamUnavailable, match="the reranker at http://127"):
                await made.rerank(QUERY, ["x"])
        assert not (await made.health()).ok
    finally:
        await made.aclose()


async def test_a_server_of_embeddings_or_of_another_model_is_refused(stub: TEIStub) -> None:
    with TEIStub(model_type=EMBEDDING) as embedding:
        made = await TEIReranker.connect([embedding.url])
        with pytest.raises(UnsupportedServer, match=r"is no reranker \(embedding\)"):
            await made.rerank(QUERY, ["x"])
        assert not (await made.health()).ok
        await made.aclose()
    other = await TEIReranker.connect([stub.url], model="another/model")
    with pytest.raises(UnsupportedServer, match="serves 'tiny/reranker', not 'another/model'"):
        await other.rerank(QUERY, ["x"])
    await other.aclose()


@pytest.mark.parametrize(
    "model",
    [
        "cross-encoder/ettin-reranker-17m-v1",
        "Qwen/Qwen3-Reranker-0.6B",
        "BAAI/bge-reranker-v2-gemma",
    ],
)
def test_models_that_tei_cannot_serve_are_refused_with_the_reason(model: str) -> None:
    with pytest.raises(ConfigurationError, match=r"rerank\.kind=local"):
        require_served_by_tei(model)


def test_the_default_is_served_by_tei() -> None:
    assert require_served_by_tei(DEFAULT_MODEL) == DEFAULT_MODEL


async def test_a_local_model_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot load reranker '/no/such/folder'"):
        await LocalReranker.load("/no/such/folder")
