"""Checks of TEI servers: each on one that is well, and on one that is ill in exactly that way."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.doctor import Status
from gateway.domain.vectors import Matrix
from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_300M
from gateway.encoders.fake import FakeEncoder
from gateway.encoders.local import LocalEncoder
from gateway.modelserver.faults import FaultKind
from tests.support.patients import before, found_by, status_of
from tests.support.tei_pools import unit_rows
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

OK, WARN, FAIL, SKIP = Status.OK, Status.WARN, Status.FAIL, Status.SKIP
OF_SERVERS = (
    *("tei-version", "model-identity", "auto-truncate", "limits", "cpu-fallback"),
    *("hidden-prompt", "long-texts", "norms", "server-nulls", "matryoshka", "dense-layers"),
    *("length-invariance", "agreement"),
)
RERANKER: dict[str, Any] = {"reranker": {"id2label": {}, "label2id": {}}}


@pytest.mark.parametrize(
    ("check", "options", "status"),
    [
        ("tei-version", {}, OK),
        ("tei-version", {"contract": "1.8.1"}, WARN),
        ("tei-version", {"contract": "1.8.0"}, FAIL),
        ("tei-version", {"contract": "1.8.1", "model_id": "/data/gemma"}, FAIL),
        ("tei-version", {"contract": "1.8.3", "model_id": "/data/gemma"}, OK),
        ("model-identity", {}, OK),
        ("model-identity", {"model_id": "/data/gemma"}, OK),
        ("model-identity", {"model_id": "BAAI/bge-m3"}, FAIL),
        ("model-identity", {"model_type": RERANKER}, FAIL),
        ("dtype", {}, OK),
        ("dtype", {"model_dtype": "bfloat16"}, OK),
        ("dtype", {"model_dtype": "float16"}, FAIL),
        ("dtype", {"model_dtype": "int8"}, FAIL),
        ("auto-truncate", {}, OK),
        ("auto-truncate", {"auto_truncate": True}, WARN),
        ("auto-truncate", {"auto_truncate": True, "max_input_length": 512}, FAIL),
        ("limits", {}, OK),
        ("limits", {"max_client_batch_size": 4}, WARN),
        ("limits", {"max_input_length": 1024}, WARN),
        ("limits", {"max_input_length": 128}, FAIL),
        ("limits", {"max_concurrent_requests": 16}, FAIL),
        ("limits", {"max_batch_tokens": 1024}, FAIL),
        ("hidden-prompt", {}, OK),
        ("hidden-prompt", {"default_prompt": "query: please read this: "}, FAIL),
        ("long-texts", {}, OK),
        ("long-texts", {"max_input_length": 512}, OK),
        ("norms", {}, OK),
        ("norms", {"encoder": FakeEncoder(size=384)}, FAIL),
        ("server-nulls", {}, OK),
        ("server-nulls", {"max_client_batch_size": 2}, OK),
        ("matryoshka", {}, OK),
        ("length-invariance", {}, OK),
        ("length-invariance", {"max_client_batch_size": 1}, SKIP),
    ],
)
async def test_what_a_server_is(check: str, options: dict[str, Any], status: Status) -> None:
    with TEIStub(**options) as stub:
        async with before(stub) as patient:
            (finding,) = await found_by(check, patient)
    assert finding.status is status, finding.detail
    assert finding.where == stub.url
    assert bool(finding.remedy) == (status in {WARN, FAIL})


@pytest.mark.parametrize(
    ("check", "kind", "times"),
    [
        ("hidden-prompt", "hidden-prompt", None),
        ("long-texts", "silent-truncation", None),
        ("norms", "unnormalised", None),
        ("norms", "short-rows", None),
        ("server-nulls", "null", None),
        ("server-nulls", "zero", None),
        ("matryoshka", "other-model", 1),
        ("matryoshka", "unnormalised", None),
        ("matryoshka", "short-rows", None),
        ("norms", "not-json", None),
        ("length-invariance", "short-rows", 1),
        ("server-nulls", "tokenizer", None),
        ("dense-layers", "backend", None),
    ],
)
async def test_what_a_server_answers(check: str, kind: FaultKind, times: int | None) -> None:
    with TEIStub() as stub:
        stub.fail(kind, times=times)
        async with before(stub) as patient:
            assert await status_of(check, patient) is FAIL


@pytest.mark.parametrize(
    ("expect_gpu", "most", "status"),
    [
        (True, None, OK),
        (True, 32, OK),
        (True, 4, FAIL),
        (True, 8, FAIL),
        (False, 4, SKIP),
        (False, None, SKIP),
    ],
)
async def test_a_server_that_fell_back_to_its_cpu(
    expect_gpu: bool, most: int | None, status: Status
) -> None:
    with TEIStub(max_batch_requests=most) as stub:
        async with before(stub, tei={"expect_gpu": expect_gpu}) as patient:
            assert await status_of("cpu-fallback", patient) is status


async def test_dense_layers_that_are_skipped_are_seen_though_the_size_is_right(
    square_gemma: Path,
) -> None:
    encoder = await LocalEncoder.load(str(square_gemma), device="cpu", dtype="float32")
    size = encoder.info.size
    profile = replace(
        EMBEDDING_GEMMA_300M, name="square", sizes=(size,), default_size=size, goldens=()
    )
    with TEIStub(encoder=encoder) as stub:
        async with before(stub, profile=profile) as patient:
            assert await status_of("dense-layers", patient) is OK
            stub.fail("no-dense", times=None)
            assert await status_of("norms", patient) is OK
            assert await status_of("dense-layers", patient) is FAIL
            assert await status_of("matryoshka", patient) is SKIP
    await encoder.aclose()


async def test_dense_layers_that_make_the_size_are_missed_by_it(tiny_gemma: Path) -> None:
    encoder = await LocalEncoder.load(str(tiny_gemma), device="cpu", dtype="float32")
    with TEIStub(encoder=encoder) as stub:
        async with before(stub) as patient:
            assert await status_of("dense-layers", patient) is OK
            stub.fail("no-dense", times=None)
            assert await status_of("dense-layers", patient) is FAIL
    await encoder.aclose()


async def test_without_token_states_something_else_must_prove_the_layers() -> None:
    bare = replace(EMBEDDING_GEMMA_300M, name="bare", goldens=())
    with TEIStub() as stub:
        async with before(stub) as patient:
            assert await status_of("dense-layers", patient) is SKIP
        async with before(stub, profile=bare) as patient:
            assert await status_of("dense-layers", patient) is WARN
        async with before(stub, profile=replace(bare, heads=())) as patient:
            assert await status_of("dense-layers", patient) is SKIP
        async with before(stub, profile=replace(bare, pooling="cls")) as patient:
            assert await status_of("dense-layers", patient) is SKIP


async def skips_the_window(texts: Sequence[str]) -> Matrix:
    """What TEI does with long texts of one length, but only in a batch."""
    rows = await unit_rows(texts)
    away = await unit_rows([f"elsewhere {text}" for text in texts])
    alike = len(texts) > 1 and len(set(map(len, texts))) == 1 and len(texts[0]) > 1_000
    return (rows + (0.1 * away if alike else 0)).astype(np.float32)


async def test_texts_of_one_length_that_change_each_other() -> None:
    with TEIStub(encoder=skips_the_window) as stub:
        async with before(stub) as patient:
            assert await status_of("length-invariance", patient) is WARN
        async with before(stub, ingest={"chunk_tokens": 512}) as patient:
            assert await status_of("length-invariance", patient) is FAIL
        async with before(stub, profile=ALL_MINILM_L6_V2) as patient:
            assert await status_of("length-invariance", patient) is SKIP


async def test_servers_that_disagree_are_named() -> None:
    with TEIStub() as one, TEIStub() as two:
        async with before(one, two) as patient:
            assert [f.status for f in await found_by("agreement", patient)] == [OK, OK]
            two.fail("other-model", times=None)
            first, second = await found_by("agreement", patient)
            assert (first.status, second.status, second.where) == (OK, FAIL, two.url)
            assert one.url in second.detail
            two.heal()
            two.fail("short-rows", times=None)
            assert (await found_by("agreement", patient))[1].status is FAIL
        async with before(one) as patient:
            assert await status_of("agreement", patient) is SKIP


async def test_a_server_that_is_away_hides_no_other() -> None:
    away = TEIStub()
    with TEIStub(model_dtype="float16") as ill:
        async with before(away, ill) as patient:
            version = await found_by("tei-version", patient)
            dtype = await found_by("dtype", patient)
    assert [(f.where, f.status) for f in version] == [(away.url, FAIL), (ill.url, OK)]
    assert [(f.where, f.status) for f in dtype] == [(away.url, SKIP), (ill.url, FAIL)]
    assert "tei-version" in dtype[0].detail


@pytest.mark.parametrize("check", OF_SERVERS)
async def test_an_encoder_without_servers_is_no_pass(check: str) -> None:
    async with before() as patient:
        assert await status_of(check, patient) is SKIP
