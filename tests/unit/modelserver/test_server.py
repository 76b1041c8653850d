"""The application as a whole: counters, shared passes, callers that hang up, health, metrics."""

import asyncio
from collections.abc import Sequence

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.encoders.fake import FakeEncoder
from gateway.modelserver.replies import Rows
from tests.support.tei_stub import TEIStub, hashed_rows


async def slow_rows(texts: Sequence[str]) -> Rows:
    """A model that takes its time; it cannot compute the text "bad"."""
    await asyncio.sleep(0.05)
    if "bad" in texts:
        raise RuntimeError("out of memory")
    return await hashed_rows(texts)


@pytest.mark.anyio
async def test_concurrent_single_requests_share_forward_passes() -> None:
    async def rows_when_all_came(texts: Sequence[str]) -> Rows:
        async with asyncio.timeout(60):
            while stub.log.accepted < 64:  # noqa: ASYNC110  they come by other connections
                await asyncio.sleep(0.005)
        return await hashed_rows(texts)

    with TEIStub(encoder=rows_when_all_came) as stub:
        async with httpx.AsyncClient(base_url=stub.url, timeout=60) as client:
            sent = [client.post("/embed", json={"inputs": f"text {n}"}) for n in range(64)]
            answers = await asyncio.gather(*sent)
        assert stub.log.embedding_requests == stub.log.accepted == stub.log.computed == 64
        assert stub.log.passes <= 16
        alone = [(await hashed_rows([f"text {n}"]))[0] for n in range(64)]
        got = np.array([answer.json()[0] for answer in answers], np.float32)
        assert np.allclose(got, alone / np.linalg.norm(alone, axis=1, keepdims=True), atol=1e-6)


@pytest.mark.anyio
async def test_a_bad_input_of_one_caller_fails_no_other_caller() -> None:
    with TEIStub(encoder=slow_rows) as stub:
        async with httpx.AsyncClient(base_url=stub.url, timeout=60) as client:
            texts = [f"text {n}" for n in range(12)] + ["bad"]
            sent = [client.post("/embed", json={"inputs": [text, "too"]}) for text in texts]
            answers = await asyncio.gather(*sent)
        assert [answer.status_code for answer in answers] == [200] * 12 + [424]
        assert answers[-1].json() == {
            "error": "Backend error: inference failed: RuntimeError",
            "error_type": "Backend",
        }


def test_after_a_failed_pass_health_computes_one_token() -> None:
    with TEIStub(encoder=slow_rows) as stub:
        assert httpx.get(stub.url + "/health").status_code == 200
        assert stub.log.passes == 0
        httpx.post(stub.url + "/embed", json={"inputs": "bad"})
        assert httpx.get(stub.url + "/health").status_code == 200
        assert stub.log.passes == 2
        assert httpx.get(stub.url + "/health").status_code == 200
        assert stub.log.passes == 2


def test_a_model_that_stays_broken_is_unhealthy() -> None:
    async def broken(_texts: Sequence[str]) -> Rows:
        raise RuntimeError("CUDA error")

    with TEIStub(encoder=broken) as stub:
        assert httpx.post(stub.url + "/embed", json={"inputs": "a"}).status_code == 424
        for path in ("/health", "/ping", "/"):
            answer = httpx.get(stub.url + path)
            assert (answer.status_code, answer.json()) == (
                503,
                {"error": "unhealthy", "error_type": "Unhealthy"},
            )


@pytest.mark.anyio
async def test_a_caller_that_hangs_up_gives_its_permits_back_and_costs_no_pass() -> None:
    with TEIStub(encoder=slow_rows, max_concurrent_requests=8) as stub:
        stub.fail("slow", seconds=20.0)
        hurried = httpx.Timeout(30, read=1.0)
        async with httpx.AsyncClient(base_url=stub.url, timeout=30) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/embed", json={"inputs": ["a"] * 8}, timeout=hurried)
            statuses = [429]
            while statuses[-1] == 429 and len(statuses) < 100:
                answer = await client.post("/embed", json={"inputs": ["b"] * 8})
                statuses.append(answer.status_code)
        assert statuses[-1] == 200
        assert stub.log.computed == 8


def test_metrics_carry_tei_s_names_and_our_proofs() -> None:
    with TEIStub(encoder=FakeEncoder(), max_client_batch_size=2) as stub:
        httpx.post(stub.url + "/embed", json={"inputs": "a"})
        httpx.post(stub.url + "/v1/embeddings", json={"input": ["a", "b"]})
        httpx.post(stub.url + "/embed", json={"inputs": ["a"] * 3})
        answer = httpx.get(stub.url + "/metrics")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["te_request_count", "single"] == 1
    assert samples["te_request_count", "batch"] == 2
    assert samples["te_request_success", "single"] == samples["te_request_success", "batch"] == 1
    assert samples["te_request_failure", "batch_size"] == 1
    assert samples["te_embed_count",] == samples["te_embed_success",] == 3
    assert samples["te_request_duration_count",] == 2
    assert samples["te_embed_inference_duration_count",] == 2
    assert samples["te_request_input_length_sum",] == 9
    assert samples["te_batch_next_size_sum",] == 3
    assert samples["te_batch_next_tokens_sum",] == 9
    assert samples["te_queue_size",] == 0
    assert samples["model_server_inputs_computed_total",] == 3
    assert samples["model_server_forward_passes_total",] == 2
