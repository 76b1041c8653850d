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
from gateway.errors import InvalidText
from gateway.modelserver.contract import RERANKER
from gateway.ports import Reranker
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
FLOAT32 = 1e-5
"""How far float32 scores may lie apart between batches: which texts share one depends on timing."""


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
    assert scores[0] == pytest.approx(scores[5], abs=FLOAT32), "equal texts score the same"
    backwards = await reranker.rerank(QUERY, TEXTS[::-1])
    assert backwards[::-1] == pytest.approx(scores, abs=FLOAT32)
    assert max(scores) - min(scores) > 1_000 * FLOAT32
    assert all(0 <= score <= 1 for score in scores)


async def test_nothing_scores_nothing(reranker: Reranker) -> None:
    assert await reranker.rerank(QUERY, []) == []


async def test_a_text_scores_the_same_in_any_company(reranker: Reranker) -> None:
    scores = await reranker.rerank(QUERY, TEXTS)
    alone = [(await reranker.rerank(QUERY, [text]))[0] for text in TEXTS]
    assert alone == pytest.approx(scores, abs=FLOAT32)


async def test_calls_at_the_same_time_keep_apart(reranker: Reranker) -> None:
    calls = [(f"{QUERY} {number}", TEXTS[number:]) for number in range(4)]
    together = await asyncio.gather(*(reranker.rerank(*call) for call in calls))
    apart = [await reranker.rerank(*call) for call in calls]
    for one, other in zip(together, apart, strict=True):
        assert one == pytest.approx(other, abs=FLOAT32)


async def test_an_empty_text_has_a_score_and_a_lone_surrogate_none(reranker: Reranker) -> None:
    assert len(await reranker.rerank(QUERY, ["", "\x00", "a"])) == 3
    with pytest.raises(InvalidText, match="text 1 has a lone surrogate") as caught:
        await reranker.rerank(QUERY, ["a", "\ud800"])
    assert caught.value.index == 1
    with pytest.raises(InvalidText, match="the query has a lone surrogate"):
        await reranker.rerank("\ud800", ["a"])


async def test_closing_twice_is_no_error(reranker: Reranker) -> None:
    await reranker.aclose()
    await reranker.aclose()


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
    np.testing.assert_allclose(scores, wanted, atol=FLOAT32)
    assert made.info.raw is raw
