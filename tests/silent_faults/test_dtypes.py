"""Half precision: float16 overflows without an error, bfloat16 drifts a little and may."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from gateway.encoders.local import LocalEncoder
from gateway.errors import ConfigurationError
from gateway.modelserver.replies import Rows
from tests.silent_faults.conftest import Server
from tests.silent_faults.marks import injects
from tests.silent_faults.middlemen import behind
from tests.silent_faults.trial import Bench
from tests.support.tiny_gemma import build_tiny_gemma

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def half(tiny_gemma: Path) -> Generator[LocalEncoder, None, None]:
    encoder = asyncio.run(LocalEncoder.load(str(tiny_gemma), device="cpu", dtype="bfloat16"))
    yield encoder
    asyncio.run(encoder.aclose())


@injects("float16-told")
async def test_float16_is_refused_where_it_is_told(bench: Bench, server: Server) -> None:
    with server(model_dtype="float16") as wrong:
        outcome = await bench.tried(bench.configured(tei={"urls": [wrong.url]}))
    outcome.require_caught("half precision")
    with pytest.raises(ConfigurationError, match="overflows half precision"):
        bench.configured(encoder="local", local={"dtype": "float16"})


@injects("float16-hidden")
async def test_float16_that_is_not_told_is_refused_by_the_vectors_that_overflow(
    bench: Bench, server: Server, tmp_path: Path
) -> None:
    folder = str(build_tiny_gemma(tmp_path / "overflowing", overflowing=True))
    model: Any = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": "float16"})

    async def overflowing(texts: Sequence[str]) -> Rows:
        return np.asarray(model.encode(list(texts), normalize_embeddings=False), np.float32)

    assert not np.isfinite(await overflowing(["Mars"])).all()
    async with aclosing(await LocalEncoder.load(folder, device="cpu")) as exact:
        with server(**behind(overflowing, exact), model_dtype="float32") as liar:
            outcome = await bench.tried(bench.configured(tei={"urls": [liar.url]}, recording=None))
    outcome.require_caught("broken vector")
    assert outcome.points == outcome.hits == 0


@injects("bfloat16")
async def test_bfloat16_drifts_within_bounds_and_is_accepted(
    bench: Bench, server: Server, half: LocalEncoder
) -> None:
    lenient = replace(bench, least=0.99)
    with server(encoder=half, model_dtype="bfloat16") as healthy:
        outcome = await lenient.tried(bench.configured(tei={"urls": [healthy.url]}))
    outcome.require_harmless()
