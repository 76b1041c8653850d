"""TEI's HTTP contract, line by line, for both generations: request, then status, body, headers.

The table in `tei_lines.py` holds answers without vectors; those with vectors follow here. It runs over
the model server with the fake encoder; what needs a model is in `unit/modelserver/test_checkpoint.py`.
"""

import asyncio
import base64
import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import numpy as np
import pytest

from gateway.embedding.catalog import GEMMA_CONFIGURED_PROMPTS
from gateway.encoders.fake import FakeEncoder
from tests.contract.tei_lines import JSON, LINES, VERSIONS, Line
from tests.support.tei_stub import TEIStub

COST_HEADERS: Final = (
    "x-compute-type",
    "x-compute-time",
    "x-compute-characters",
    "x-compute-tokens",
    "x-total-time",
    "x-tokenization-time",
    "x-queue-time",
    "x-inference-time",
)


@pytest.fixture(scope="module", params=VERSIONS)
def server(request: pytest.FixtureRequest) -> Iterator[TEIStub]:
    """A small server: 4 inputs a request, 16 tokens an input, 5,000 bytes a body."""
    with TEIStub(
        request.param,
        encoder=FakeEncoder(),
        prompts=GEMMA_CONFIGURED_PROMPTS,
        max_client_batch_size=4,
        max_input_length=16,
        payload_limit=5_000,
    ) as stub:
        yield stub


def send(server: TEIStub, line: Line) -> httpx.Response:
    headers = {"content-type": line.content_type} if line.content_type else {}
    if line.content is not None:
        return httpx.request(
            line.method, server.url + line.path, content=line.content, headers=headers
        )
    return httpx.request(line.method, server.url + line.path, json=line.json)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_an_answer_without_vectors_is_that_of_the_contract(server: TEIStub, line: Line) -> None:
    answer = send(server, line)
    status = line.status_of(server.contract.version)

    assert answer.status_code == status
    assert answer.headers.get("content-type") == line.type
    assert "retry-after" not in answer.headers
    assert not set(COST_HEADERS) & set(answer.headers)
    assert answer.headers.items() >= line.headers.items()
    if line.body is None:
        assert answer.content == b""
    elif isinstance(line.body, str):
        assert re.match(line.body, answer.text)
    else:
        code = {"code": status} if "message" in line.body else {}
        assert answer.json() == line.body | code


def test_an_instance_that_is_no_request_is_invalid(server: TEIStub) -> None:
    answer = httpx.post(server.url + "/vertex", json={"instances": [{"text": "a"}]})

    assert answer.status_code == (422 if server.contract.from_1_9 else 413)
    assert answer.json()["error_type"] == "Validation"


def post(server: TEIStub, path: str, body: object) -> httpx.Response:
    answer = httpx.post(server.url + path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == JSON
    return answer


def rows(answer: httpx.Response) -> Any:
    return np.array(answer.json(), np.float32)


def test_a_long_text_is_cut_from_the_side_that_is_asked_for(server: TEIStub) -> None:
    text = " ".join(f"w{place}" for place in range(20))
    head, tail = " ".join(text.split()[:14]), " ".join(text.split()[-14:])
    right = post(server, "/embed", {"inputs": text, "truncate": True})
    left = {"inputs": text, "truncate": True, "truncation_direction": "Left"}

    assert right.headers["x-compute-tokens"] == "16"
    assert right.json() == post(server, "/embed", {"inputs": head}).json()
    assert post(server, "/embed", left).json() == post(server, "/embed", {"inputs": tail}).json()


def test_lower_case_directions_came_with_1_9(server: TEIStub) -> None:
    body = {"inputs": "a", "truncation_direction": "left"}
    status = httpx.post(server.url + "/embed", json=body).status_code

    assert status == (200 if server.contract.from_1_9 else 422)


@pytest.mark.parametrize("path", ["/embed", "/", "/invocations"])
def test_embed_answers_rows_of_unit_length_and_tells_the_cost(server: TEIStub, path: str) -> None:
    single = post(server, path, {"inputs": "one word"})
    batch = post(server, path, {"inputs": ["one word", "другое"], "unknown": True})

    assert rows(single).shape == (1, 768)
    assert rows(batch).shape == (2, 768)
    assert np.array_equal(rows(single)[0], rows(batch)[0])
    assert np.abs(np.linalg.norm(rows(batch).astype(np.float64), axis=1) - 1).max() < 1e-6
    assert set(COST_HEADERS) <= set(batch.headers)
    assert batch.headers["x-compute-type"] == "gpu+optimized"
    assert batch.headers["x-compute-characters"] == "14"
    assert batch.headers["x-compute-tokens"] == "7"
    assert batch.headers["x-compute-time"] == batch.headers["x-total-time"]
    assert all(batch.headers[name].isdigit() for name in COST_HEADERS[1:])


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
def test_openai_s_answer_has_its_shape_in_floats_and_base64(server: TEIStub, path: str) -> None:
    asked = {"input": ["one word", "two"], "model": "whatever", "user": "u"}
    floats = post(server, path, asked)
    coded = post(server, path, asked | {"encoding_format": "base64"}).json()
    body = floats.json()

    assert {key: body[key] for key in ("object", "model", "usage")} == {
        "object": "list",
        "model": "google/embeddinggemma-300m",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    assert [(item["object"], item["index"]) for item in body["data"]] == [
        ("embedding", 0),
        ("embedding", 1),
    ]
    for plain, packed in zip(body["data"], coded["data"], strict=True):
        row = np.frombuffer(base64.b64decode(packed["embedding"]), "<f4")
        assert np.array_equal(row, np.array(plain["embedding"], np.float32))
    assert body["data"][1]["embedding"] == post(server, "/embed", {"inputs": "two"}).json()[0]
    assert set(COST_HEADERS) <= set(floats.headers)


def test_dimensions_cut_first_and_normalise_after(server: TEIStub) -> None:
    raw = rows(post(server, "/embed", {"inputs": "a b", "normalize": False}))
    assert np.linalg.norm(raw) > 2
    for size in (32, 128, 768):
        short = raw[:, :size].astype(np.float64)
        for path, key in (("/embed", "inputs"), ("/v1/embeddings", "input")):
            answer = post(server, path, {key: "a b", "dimensions": size}).json()
            row = answer[0] if path == "/embed" else answer["data"][0]["embedding"]
            assert np.abs(np.array(row) - short / np.linalg.norm(short)).max() < 1e-6
    bare = rows(post(server, "/embed", {"inputs": "a b", "normalize": False, "dimensions": 128}))
    assert np.array_equal(bare, raw[:, :128])


def test_a_prompt_name_puts_its_prompt_before_the_text(server: TEIStub) -> None:
    named = post(server, "/embed", {"inputs": "red planet", "prompt_name": "query"})
    written = {"inputs": GEMMA_CONFIGURED_PROMPTS["query"] + "red planet"}
    ignored = post(server, "/v1/embeddings", {"input": "red planet", "prompt_name": "query"})

    assert named.json() == post(server, "/embed", written).json()
    assert named.headers["x-compute-characters"] == "10"
    assert ignored.json()["usage"]["prompt_tokens"] == 4


def test_similarity_is_the_cosine_of_raw_vectors(server: TEIStub) -> None:
    sentences = ["red planet", "blue sea"]
    asked = {"source_sentence": "the red planet", "sentences": sentences}
    answer = post(server, "/similarity", {"inputs": asked, "parameters": {"prompt_name": "STS"}})
    named = {"inputs": ["the red planet", *sentences], "prompt_name": "STS"}
    unit = rows(post(server, "/embed", named))

    assert np.abs(np.array(answer.json()) - unit[1:] @ unit[0]).max() < 1e-6
    assert set(COST_HEADERS) <= set(answer.headers)


def test_tokenize_tells_ids_texts_and_byte_offsets(server: TEIStub) -> None:
    answer = post(server, "/tokenize", {"inputs": "мир !"})
    (tokens,) = answer.json()
    bare = post(server, "/tokenize", {"inputs": ["мир !", "b"], "add_special_tokens": False}).json()
    prompted = {"inputs": "b", "prompt_name": "query", "add_special_tokens": False}

    assert [set(token) for token in tokens] == [{"id", "text", "special", "start", "stop"}] * 4
    assert [(token["text"], token["start"], token["stop"]) for token in tokens[1:3]] == [
        ("мир", 0, 6),
        ("!", 7, 8),
    ]
    assert [(token["special"], token["start"]) for token in tokens[::3]] == [(True, None)] * 2
    assert bare == [tokens[1:3], bare[1]]
    assert len(post(server, "/tokenize", prompted).json()[0]) == 8
    assert not set(COST_HEADERS) & set(answer.headers)


def test_vertex_answers_each_instance_as_embed_does(server: TEIStub) -> None:
    asked = {"instances": [{"inputs": "a"}, {"inputs": ["b", "c"], "normalize": False}]}
    answer = post(server, "/vertex", asked)

    assert answer.json() == {
        "predictions": [post(server, "/embed", one).json() for one in asked["instances"]]
    }
    assert not set(COST_HEADERS) & set(answer.headers)


def test_info_describes_the_server(server: TEIStub) -> None:
    answer = httpx.get(server.url + "/info")
    told = answer.json()

    assert answer.headers["content-type"] == JSON
    assert ("served_model_name" in told) == server.contract.from_1_9
    assert (
        told.items()
        >= {
            "model_id": "google/embeddinggemma-300m",
            "model_sha": None,
            "model_dtype": "float32",
            "max_concurrent_requests": 512,
            "max_input_length": 16,
            "max_batch_tokens": 16384,
            "max_batch_requests": None,
            "max_client_batch_size": 4,
            "auto_truncate": False,
            "version": server.contract.version,
        }.items()
    )
    assert told["model_type"] == {"embedding": {"pooling": "mean"}}


def test_head_answers_a_get_route_without_its_body(server: TEIStub) -> None:
    answer = httpx.head(server.url + "/info")

    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 100


@pytest.mark.parametrize("version", VERSIONS)
def test_a_key_is_asked_for_everywhere_but_on_public_routes(version: str) -> None:
    with TEIStub(version, encoder=FakeEncoder(), api_key="key") as stub:
        for given in ({}, {"authorization": "Bearer other"}, {"authorization": "key"}):
            for path in ("/embed", "/v1/embeddings", "/", "/tokenize", "/decode", "/vertex"):
                refused = httpx.post(stub.url + path, json={"inputs": "a"}, headers=given)
                assert (refused.status_code, refused.content) == (401, b"")
            assert httpx.get(stub.url + "/info", headers=given).status_code == 401
        for path in ("/health", "/", "/ping", "/metrics"):
            assert httpx.get(stub.url + path).status_code == 200
        allowed = {"authorization": "Bearer key"}
        assert httpx.get(stub.url + "/info", headers=allowed).status_code == 200


@pytest.mark.parametrize(("version", "status"), [("1.8.1", 413), ("1.8.3", 400), ("1.9.3", 400)])
def test_empty_inputs_are_413_before_1_8_3(version: str, status: int) -> None:
    with TEIStub(version, encoder=FakeEncoder()) as stub:
        assert httpx.post(stub.url + "/embed", json={"inputs": ""}).status_code == status


@pytest.mark.anyio
@pytest.mark.parametrize("version", VERSIONS)
async def test_permits_are_counted_per_input_and_refused_or_awaited_by_version(
    version: str,
) -> None:
    """Before 1.9.0 a batch waits for its permits and a single input does not."""
    overloaded = {"error": "Model is overloaded", "error_type": "Overloaded"}
    with TEIStub(version, encoder=FakeEncoder(), max_concurrent_requests=3) as stub:
        stub.fail("slow", seconds=1.5)
        async with (
            httpx.AsyncClient(base_url=stub.url, timeout=30) as client,
            asyncio.TaskGroup() as group,
        ):
            first = group.create_task(client.post("/embed", json={"inputs": ["a", "b", "c"]}))
            await in_flight(stub, 3)
            batch = group.create_task(client.post("/embed", json={"inputs": ["d", "e"]}))
            single = group.create_task(client.post("/embed", json={"inputs": "f"}))

    assert first.result().status_code == 200
    assert (single.result().status_code, single.result().json()) == (429, overloaded)
    assert batch.result().status_code == (429 if stub.contract.from_1_9 else 200)
    assert stub.most_inputs_in_flight == 3


async def in_flight(stub: TEIStub, count: int) -> None:
    while stub.most_inputs_in_flight < count:  # noqa: ASYNC110 - the server is in another thread
        await asyncio.sleep(0.005)
