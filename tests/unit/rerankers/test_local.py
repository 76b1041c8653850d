"""Cross-encoders in this process: heads that TEI cannot read, checkpoints that are no reranker."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

import torch
from sentence_transformers import CrossEncoder

from gateway.encoders.cross import CrossEncoderScorer
from gateway.errors import ConfigurationError, UpstreamUnavailable
from gateway.rerankers.local import LocalReranker
from tests.support.tiny_cross import (
    build_tiny_causal_reranker,
    build_tiny_cross_encoder,
    build_tiny_modular_reranker,
)
from tests.support.tiny_gemma import digests

pytestmark = pytest.mark.anyio

QUERY = "Which planet is red?"
TEXTS = ["Mars is the red planet.", "The stock market fell.", "a", "Mars " * 300]


@asynccontextmanager
async def loaded(folder: Path, *, raw: bool = True) -> AsyncGenerator[LocalReranker, None]:
    async with aclosing(await LocalReranker.load(str(folder), raw=raw)) as reranker:
        yield reranker


@pytest.mark.parametrize("build", [build_tiny_modular_reranker, build_tiny_causal_reranker])
async def test_a_head_of_modules_and_a_decoder_are_run_as_sentence_transformers_runs_them(
    build: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = build(tmp_path / "reranker")
    model: Any = CrossEncoder(str(folder), device="cpu")
    pairs = [(QUERY, text) for text in TEXTS]
    logits = [float(model.predict([pair], activation_fn=torch.nn.Identity())[0]) for pair in pairs]
    async with loaded(folder) as reranker:
        np.testing.assert_allclose(await reranker.rerank(QUERY, TEXTS), logits, atol=1e-4)
    async with loaded(folder, raw=False) as reranker:
        wanted = 1 / (1 + np.exp(-np.array(logits)))
        np.testing.assert_allclose(await reranker.rerank(QUERY, TEXTS), wanted, atol=1e-4)


async def test_many_long_texts_are_read_in_passes_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build_tiny_cross_encoder(tmp_path / "cross")
    scorer = await CrossEncoderScorer.load(str(folder))
    passes: list[list[str]] = []
    scores = scorer.scores

    async def counted(pairs: Any) -> Any:
        passes.append([text for _, text in pairs])
        return await scores(pairs)

    monkeypatch.setattr(scorer, "scores", counted)
    async with aclosing(LocalReranker(scorer, "tiny", raw=True)) as reranker:
        long, short = "Mars " * 300, "Mars"
        found = await reranker.rerank(QUERY, [long, short] * 100)
    assert sorted(text for one in passes for text in one) == sorted([long, short] * 100)
    assert max(len(one) for one in passes if long in one) == 64  # of 64 tokens: 4,096 in all
    assert found[0::2] == pytest.approx([found[0]] * 100, abs=1e-4)
    assert found[1::2] == pytest.approx([found[1]] * 100, abs=1e-4)


@pytest.mark.parametrize(
    "build",
    [build_tiny_cross_encoder, build_tiny_modular_reranker, build_tiny_causal_reranker],
)
def test_two_builds_of_a_tiny_reranker_are_equal(
    build: Callable[[Path], Path], tmp_path: Path
) -> None:
    assert digests(build(tmp_path / "one")) == digests(build(tmp_path / "two"))


async def test_a_classifier_of_several_labels_is_no_reranker(tmp_path: Path) -> None:
    folder = build_tiny_cross_encoder(tmp_path / "classifier", labels=3)
    with pytest.raises(ConfigurationError, match=r"must give one score.*it gives 3 scores"):
        await LocalReranker.load(str(folder))


async def test_a_model_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot load reranker '/no/such/folder'"):
        await LocalReranker.load("/no/such/folder")


async def test_a_closed_one_is_not_well_and_scores_nothing(tmp_path: Path) -> None:
    reranker = await LocalReranker.load(str(build_tiny_cross_encoder(tmp_path / "cross")))
    assert (await reranker.health()).ok
    await reranker.aclose()
    assert not (await reranker.health()).ok
    with pytest.raises(UpstreamUnavailable, match="closed"):
        await reranker.rerank(QUERY, TEXTS)
