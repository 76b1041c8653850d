"""A server is held against the recording of a reference before it is believed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gateway.domain.recording import Recorded, Recording
from gateway.domain.vectors import Matrix
from gateway.errors import UnsupportedServer
from gateway.tei.goldens import RECORDED_COSINE
from tests.support.tei_pools import EXPECT, pool_of, unit_rows
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

TEXTS = ["task: search result | query: Mars", "title: none | text: the red planet", "x " * 40]


async def recording() -> Recording:
    """What the stub without an encoder answers."""
    rows = await unit_rows(TEXTS)
    with TEIStub() as stub:
        async with pool_of(stub) as pool:
            tokens = await pool.pool.tokens(TEXTS)
    items = [
        Recorded("query", text, None, text, tuple(token.id for token in read), row)
        for text, read, row in zip(TEXTS, tokens, rows, strict=True)
    ]
    return Recording("test:0", EXPECT.model_ids[0], 768, {}, items)


async def drifting(by: float, texts: Sequence[str]) -> Matrix:
    """Vectors of which one is off by so much of another direction."""
    rows = await unit_rows(texts)
    away = await unit_rows([f"elsewhere {text}" for text in texts])
    off = np.array([by if "red planet" in text else 0.0 for text in texts], np.float32)
    return (rows + off[:, None] * away).astype(np.float32)


async def refused(stub: TEIStub, told: str, made: Recording | None = None) -> None:
    expect = replace(EXPECT, recording=made or await recording(), dtypes=("float32", "bfloat16"))
    with stub:
        async with pool_of(stub, expect=expect) as pool:
            with pytest.raises(UnsupportedServer, match=told):
                await pool.embed(["a text"])


@pytest.mark.parametrize("batch", [1, 2, 32])
async def test_a_server_that_reproduces_it_is_let_in(batch: int) -> None:
    expect = replace(EXPECT, recording=await recording())
    with TEIStub(max_client_batch_size=batch) as stub:
        async with pool_of(stub, expect=expect) as pool:
            assert (await pool.embed(["a text"]))[0].shape == (1, 768)


@pytest.mark.parametrize(("dtype", "by"), [("float32", 0.02), ("bfloat16", 0.2)])
async def test_one_vector_that_drifts_too_far_is_enough(dtype: str, by: float) -> None:
    async def encode(texts: Sequence[str]) -> Matrix:
        return await drifting(by, texts)

    assert 1 / np.sqrt(1 + by * by) < RECORDED_COSINE[dtype]
    await refused(TEIStub(encoder=encode, model_dtype=dtype), r"cosine 0\.9.*quantisation")


async def test_the_drift_of_bfloat16_is_accepted_from_bfloat16_alone() -> None:
    async def encode(texts: Sequence[str]) -> Matrix:
        return await drifting(0.08, texts)

    await refused(TEIStub(encoder=encode), "cosine")
    expect = replace(EXPECT, recording=await recording(), dtypes=("bfloat16",))
    with TEIStub(encoder=encode, model_dtype="bfloat16") as stub:
        async with pool_of(stub, expect=expect) as pool:
            await pool.embed(["a text"])


async def test_other_tokens_are_told_before_any_vector_is_compared() -> None:
    made = await recording()
    items = [*made.items[:2], replace(made.items[2], token_ids=(2, 5, 1))]
    stub = TEIStub()
    await refused(
        stub, "reads a recorded text as 42 tokens, the reference as 3", replace(made, items=items)
    )
    items = [
        replace(made.items[0], token_ids=(*made.items[0].token_ids[:-1], 9)),
        *made.items[1:],
    ]
    await refused(stub, "as 8 tokens, the reference as 8 others", replace(made, items=items))
