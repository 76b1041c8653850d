"""Our path against sentence-transformers' own, on a checkpoint of EmbeddingGemma's architecture.

Sequence lengths lie on both sides of the sliding window. Tolerances are what was measured on a CPU,
rounded up: float32 rounding only, where both sides compute the same thing.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.domain.vectors import Matrix
from gateway.embedding.catalog import GEMMA_CONFIGURED_PROMPTS
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.encoders.local import LocalEncoder
from gateway.errors import UnsupportedDtype
from tests.support.tiny_corpus import ENGLISH, RUSSIAN

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

from sentence_transformers import SentenceTransformer

from tests.support.tiny_gemma import MAX_TOKENS, TINY_PROFILE, WINDOW, build_tiny_gemma, digests

pytestmark = pytest.mark.anyio

LONG = " ".join(ENGLISH[:30])
TEXTS = [*ENGLISH[:12], *RUSSIAN[:8], "  kept blanks \n", "🚀 emoji", LONG]
SIZES = (768, 512, 256, 128)


@pytest.fixture(scope="module")
def reference(tiny_gemma: Path) -> Any:
    return SentenceTransformer(str(tiny_gemma), device="cpu")


@pytest.fixture(scope="module")
async def encoder(tiny_gemma: Path, anyio_backend: str) -> AsyncGenerator[LocalEncoder, None]:
    async with aclosing(await LocalEncoder.load(str(tiny_gemma), device="cpu")) as opened:
        yield opened


@pytest.fixture(scope="module")
def embedder(encoder: LocalEncoder) -> Embedder:
    return Embedder(TINY_PROFILE, encoder)


def test_the_checkpoint_carries_our_fourteen_prompts(reference: Any) -> None:
    assert len(reference.prompts) == 14
    assert dict(reference.prompts) == dict(GEMMA_CONFIGURED_PROMPTS)
    assert all(TINY_PROFILE.prompt(name) == text for name, text in reference.prompts.items())


@pytest.mark.parametrize("text", ["Which planet is red?", "  blanks \n kept ", LONG])
def test_rendered_prompts_equal_those_of_encode_query_and_encode_document(
    reference: Any, text: str
) -> None:
    ours = reference.encode(
        [TINY_PROFILE.render(Task.QUERY, text), TINY_PROFILE.render(Task.DOCUMENT, text)],
        batch_size=1,
    )
    theirs = [reference.encode_query(text), reference.encode_document(text)]

    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", [*GEMMA_CONFIGURED_PROMPTS])
async def test_a_task_name_gives_the_vector_of_its_prompt_name(
    embedder: Embedder, reference: Any, name: str
) -> None:
    theirs = reference.encode(TEXTS[:2], prompt_name=name, normalize_embeddings=True)

    ours = await embedder.embed(name, [Input(text) for text in TEXTS[:2]], size=768)

    np.testing.assert_allclose(ours.vectors, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("task", [Task.QUERY, Task.DOCUMENT])
async def test_our_cut_equals_truncate_dim_with_normalisation(
    embedder: Embedder, reference: Any, task: Task, size: int
) -> None:
    theirs = reference.encode(
        TEXTS, prompt_name=task.value, truncate_dim=size, normalize_embeddings=True
    )

    ours = (await embedder.embed(task, [Input(text) for text in TEXTS], size=size)).vectors

    assert ours.shape == (len(TEXTS), size)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, rtol=0, atol=1e-6)


def test_a_cut_without_renormalising_is_not_a_unit_vector(reference: Any) -> None:
    rows = reference.encode(TEXTS, truncate_dim=256, prompt_name="document")

    assert (np.linalg.norm(rows, axis=1) < 0.75).all()


@pytest.mark.parametrize("title", ["Mars", "  Ода к радости  ", "none"])
async def test_titled_documents_equal_the_written_form(
    embedder: Embedder, reference: Any, title: str
) -> None:
    text = ENGLISH[1]
    theirs = reference.encode([f"title: {title} | text: {text}"], normalize_embeddings=True)

    ours = (await embedder.embed(Task.DOCUMENT, [Input(text, title)], size=768)).vectors
    untitled = (await embedder.embed(Task.DOCUMENT, [Input(text)], size=768)).vectors

    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert np.allclose(ours, untitled, atol=1e-5) == (title == "none")


async def test_token_counts_are_what_the_model_reads(encoder: LocalEncoder, reference: Any) -> None:
    read = [reference.preprocess([text])["input_ids"].shape[1] for text in TEXTS]

    assert await encoder.count_tokens(TEXTS) == read


def test_the_reference_itself_cuts_silently_so_ours_must_count(reference: Any) -> None:
    long = "the " * 3000

    assert reference.preprocess([long])["input_ids"].shape[1] == MAX_TOKENS


async def test_the_sliding_window_acts_on_long_texts_alone(
    encoder: LocalEncoder, tmp_path: Path
) -> None:
    wide = await LocalEncoder.load(
        str(build_tiny_gemma(tmp_path / "wide", sliding_window=512)), device="cpu"
    )
    short, long = "Mars is red", LONG
    tokens = await encoder.count_tokens([short, long])
    assert tokens[0] < WINDOW // 2 < WINDOW * 4 < tokens[1]
    async with aclosing(wide):
        here = (await encoder.encode([short, long])).vectors
        there = (await wide.encode([short, long])).vectors

    np.testing.assert_allclose(here[0], there[0], rtol=0, atol=1e-6)
    assert np.abs(here[1] - there[1]).max() > 1e-3


async def test_attention_looks_both_ways(encoder: LocalEncoder, reference: Any) -> None:
    first = [
        reference.encode([f"Mars is a {last}"], output_value="token_embeddings")[0][1]
        for last in ("planet", "river")
    ]

    assert np.abs(np.asarray(first[0]) - np.asarray(first[1])).max() > 1e-3


async def test_bfloat16_stays_near_float32_and_leaves_unit_length(
    tiny_gemma: Path, embedder: Embedder
) -> None:
    inputs = [Input(text) for text in TEXTS]
    half = await LocalEncoder.load(str(tiny_gemma), device="cpu", dtype="bfloat16")
    async with aclosing(half):
        assert half.info.dtype == "bfloat16"
        raw = (await half.encode(TEXTS)).vectors
        ours = (await Embedder(TINY_PROFILE, half).embed("query", inputs, size=768)).vectors
    exact = (await embedder.embed("query", inputs, size=768)).vectors

    assert raw.dtype == np.float32
    assert cosines(ours, exact).min() > 0.99
    assert cosines(ours, exact).mean() > 0.999
    assert np.abs(np.linalg.norm(ours, axis=1) - 1).max() < 1e-6
    assert np.abs(ours - exact).max() > 1e-4, "bfloat16 was not computed in"


async def test_float16_is_refused_because_it_overflows_without_an_error(tmp_path: Path) -> None:
    folder = str(build_tiny_gemma(tmp_path / "overflowing", overflowing=True))

    with pytest.raises(UnsupportedDtype, match="overflow half precision"):
        await LocalEncoder.load(folder, device="cpu", dtype="float16")

    finite = {
        dtype: bool(np.isfinite(encoded_in(folder, dtype)).all())
        for dtype in ("float16", "bfloat16", "float32")
    }
    assert finite == {"float16": False, "bfloat16": True, "float32": True}


def test_two_builds_are_equal_byte_by_byte(tiny_gemma: Path, tmp_path: Path) -> None:
    again = digests(build_tiny_gemma(tmp_path / "again"))

    assert again == digests(tiny_gemma)
    assert len(again) == 13
    assert sum(file.stat().st_size for file in tiny_gemma.rglob("*")) < 5_000_000


def test_the_files_have_the_layout_that_tei_reads(tiny_gemma: Path) -> None:
    modules = read_json(tiny_gemma / "modules.json")
    config = read_json(tiny_gemma / "config.json")
    pooling = read_json(tiny_gemma / "1_Pooling" / "config.json")

    assert [module["type"].rpartition(".") for module in modules] == [
        ("sentence_transformers.models", ".", kind)
        for kind in ("Transformer", "Pooling", "Dense", "Dense", "Normalize")
    ]
    assert [name for name, on in pooling.items() if on is True] == [
        "pooling_mode_mean_tokens",
        "include_prompt",
    ]
    assert read_json(tiny_gemma / "sentence_bert_config.json")["max_seq_length"] == MAX_TOKENS
    assert config["sliding_window"] == WINDOW
    assert config["rope_local_base_freq"] == 10_000.0
    assert config["_sliding_window_pattern"] == 6
    assert config["architectures"] == ["Gemma3TextModel"]


def cosines(left: Matrix, right: Matrix) -> Matrix:
    """Cosine of each row with its twin; both are unit rows."""
    return np.einsum("ij,ij->i", left, right)


def encoded_in(folder: str, dtype: str) -> Matrix:
    model: Any = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": dtype})
    return model.encode(["Which planet is red?"])


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
