"""llama.cpp against sentence-transformers: the same checkpoint in an engine that none of us wrote.

Texts go through our `Embedder` and `OpenAIEncoder` over HTTP on one side, and by prompt name through
sentence-transformers on the other. float32 on both sides differs by rounding and by llama.cpp's
table of GELU alone.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.domain.vectors import Matrix
from gateway.embedding.catalog import GEMMA_CONFIGURED_PROMPTS
from gateway.embedding.embedder import Embedder, Input
from gateway.encoders.openai import Expectation, OpenAIEncoder
from tests.support.llama_server import LlamaServer
from tests.support.tiny_corpus import ENGLISH, RUSSIAN

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")
pytest.importorskip("xllamacpp", reason="needs the extra `dev`")
pytest.importorskip("gguf", reason="needs the extra `dev`")

from sentence_transformers import SentenceTransformer

from tests.support.tiny_gemma import HIDDEN, MAX_TOKENS, MIDDLE, TINY_PROFILE, WINDOW
from tests.support.tiny_gguf import write_gguf

pytestmark = pytest.mark.anyio

PROFILE = replace(
    TINY_PROFILE,
    sizes=(HIDDEN,),
    default_size=HIDDEN,
    heads=(f"dense {HIDDEN}->{MIDDLE}", f"dense {MIDDLE}->{HIDDEN}"),
)
TEXTS = [
    "a",
    "?",
    *ENGLISH[:24],
    *RUSSIAN[:16],
    "火星は赤い惑星として知られています。",
    "ウェブサーバーは要求を拒否しました。",
    "検索",
    "春の海ひねもすのたりのたりかな",
    "🚀",
    "👩‍🚀🇪🇺 to Mars 🔴🪐",
    "I ♥ naïve café — ½ ﬁ",
    "def f(x: int) -> int:\n\treturn x ** 2  # square",
    "SELECT name, count(*)\nFROM planets\nGROUP BY name;",
    "for (;;) { if (!ok) break; }\r\n",
    "<b>bold</b> &amp; [link](http://example.org/?q=1&r=2)",
    "   leading and trailing   ",
    "two\n\nparagraphs",
    *(" ".join(ENGLISH[:count]) for count in (2, 3, 4, 5, 6, 8, 12, 16, 30)),
    " ".join(RUSSIAN[:20]),
    "火星は赤い。" * 30,
]


@pytest.fixture(scope="module")
def reference(square_gemma: Path) -> Any:
    return SentenceTransformer(str(square_gemma), device="cpu")


@asynccontextmanager
async def serving(file: Path, tokenizer: Path, quantization: str = "") -> AsyncGenerator[Embedder]:
    expect = Expectation((PROFILE.model_id,), HIDDEN, MAX_TOKENS, PROFILE.dtypes)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(LlamaServer(file))
        opened = await OpenAIEncoder.connect(
            server.url, expect=expect, tokenizer=tokenizer, quantization=quantization
        )
        yield Embedder(PROFILE, await stack.enter_async_context(aclosing(opened)))


@pytest.fixture(scope="module")
async def embedder(
    square_gguf: Path, square_gemma: Path, anyio_backend: str
) -> AsyncGenerator[Embedder, None]:
    async with serving(square_gguf, square_gemma) as opened:
        yield opened


async def test_the_texts_lie_on_both_sides_of_the_sliding_window(embedder: Embedder) -> None:
    counts = await embedder.encoder.count_tokens(TEXTS)

    assert len(TEXTS) >= 60
    assert min(counts) == 3, "one token between the two special ones"
    assert max(counts) > 6 * WINDOW
    assert sum(count > WINDOW for count in counts) >= 8


@pytest.mark.parametrize("name", [*GEMMA_CONFIGURED_PROMPTS])
async def test_every_prompt_gives_the_vectors_of_sentence_transformers(
    embedder: Embedder, reference: Any, name: str
) -> None:
    ours = (await embedder.embed(name, inputs())).vectors

    assert worst(ours, expected(reference, name)) >= 0.9999


async def test_a_text_of_the_models_whole_context_is_read_to_its_end(
    embedder: Embedder, reference: Any
) -> None:
    one, two = await embedder.encoder.count_tokens(["the", "the the"])
    assert two == one + 1
    full = " ".join(["the"] * (MAX_TOKENS - one + 1))

    encoding = await embedder.encoder.encode([full])

    assert encoding.tokens == MAX_TOKENS
    assert worst(encoding.vectors, reference.encode([full])) >= 0.9999


async def test_blocks_of_int8_stay_near(square_gemma: Path, reference: Any, tmp_path: Path) -> None:
    file = write_gguf(square_gemma, tmp_path / "q8_0.gguf", kind="q8_0")
    async with serving(file, square_gemma, "q8_0") as embedder:
        assert embedder.space == PROFILE.fingerprint(quantization="q8_0")
        ours = (await embedder.embed("query", inputs())).vectors

    cosine = worst(ours, expected(reference, "query"))
    assert 0.998 <= cosine < 0.99999, "int8 was computed in"


async def test_a_file_without_the_dense_layers_is_far_off_although_all_looks_well(
    square_gemma: Path, reference: Any, tmp_path: Path
) -> None:
    file = write_gguf(square_gemma, tmp_path / "no-dense.gguf", dense=False)
    async with serving(file, square_gemma) as embedder:
        assert (await embedder.encoder.health()).ok
        ours = (await embedder.embed("query", inputs())).vectors

    theirs = expected(reference, "query")
    assert ours.shape == theirs.shape
    assert np.einsum("ij,ij->i", ours, theirs).max() < 0.5


def inputs() -> list[Input]:
    return [Input(text) for text in TEXTS]


def expected(reference: Any, name: str) -> Matrix:
    return reference.encode(TEXTS, prompt_name=name, normalize_embeddings=True, batch_size=8)


def worst(ours: Matrix, theirs: Matrix) -> float:
    """Return the least cosine of a row to its twin; both are unit rows."""
    return float(np.einsum("ij,ij->i", ours, theirs).min())
