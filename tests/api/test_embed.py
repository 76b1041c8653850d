import base64
from typing import Any

import numpy as np
import pytest
from litestar import Litestar
from litestar.testing import TestClient


def test_vectors_come_as_numbers_or_base64(client: TestClient[Litestar]) -> None:
    body = {"task": "document", "inputs": [{"text": "a", "title": "T"}, {"text": "b"}], "size": 256}
    response = client.post("/api/v1/embed", json=body)
    reply = response.json()
    rows = np.array(reply["vectors"], np.float32)
    assert rows.shape == (2, 256)
    assert reply["size"] == 256
    assert reply["space"] == response.headers["x-gateway-space"]
    assert reply["space"].startswith("embeddinggemma-300m+fake:")
    packed = client.post("/api/v1/embed", json={**body, "encoding_format": "base64"}).json()
    unpacked = [np.frombuffer(base64.b64decode(row), "<f4") for row in packed["vectors"]]
    assert np.array_equal(np.stack(unpacked), rows)
    assert packed["tokens"] == reply["tokens"] > 0


def test_it_is_the_same_space_as_openais_route(client: TestClient[Litestar]) -> None:
    native = client.post("/api/v1/embed", json={"task": "query", "inputs": [{"text": "a"}]})
    call = {"model": "embeddinggemma-300m:query", "input": "a"}
    openai = client.post("/v1/embeddings", json=call)
    assert native.json()["vectors"][0] == openai.json()["data"][0]["embedding"]
    assert native.headers["x-gateway-space"] == openai.headers["x-gateway-space"]


def test_a_prompted_text_passes_when_it_is_meant(client: TestClient[Litestar]) -> None:
    body: dict[str, Any] = {
        "task": "query",
        "inputs": [{"text": "task: search result | query: a"}],
    }
    assert client.post("/api/v1/embed", json=body).status_code == 400
    assert client.post("/api/v1/embed", json={**body, "allow_prompted": True}).status_code == 200


def test_an_empty_text_is_refused_with_a_remedy(client: TestClient[Litestar]) -> None:
    body = {"task": "query", "inputs": [{"text": ""}]}
    said = client.post("/api/v1/embed", json=body).json()["detail"]
    assert said == "text of input 0 is empty; send a text or leave the input out"


@pytest.mark.parametrize(
    ("change", "slug", "field", "index"),
    [
        ({"inputs": []}, "invalid-request", "inputs", None),
        ({"inputs": [{"text": "a"}, {"text": ""}]}, "invalid-text", "inputs[1].text", 1),
        ({"inputs": [{"text": "a", "title": "b\x00"}]}, "invalid-text", "inputs[0].title", 0),
        (
            {"inputs": [{"text": "a"}, {"text": "a", "title": "T | text: x"}]},
            "double-prompt",
            "inputs[1].title",
            1,
        ),
        (
            {"task": "query", "inputs": [{"text": "a"}, {"text": "a", "title": "T"}]},
            "invalid-request",
            "inputs[1].title",
            1,
        ),
        ({"inputs": [{"txt": "a"}]}, "invalid-request", "inputs[0].text", None),
        ({"inputs": "a"}, "invalid-request", "inputs", None),
        ({"inputs": [{"text": "a"}] * 10_000}, "too-many-inputs", "inputs", None),
        ({"inputs": [{"text": "w " * 300_000}]}, "input-too-long", "inputs[0].text", 0),
        ({"task": "singing"}, "unknown-task", "task", None),
        ({"task": 5}, "invalid-request", "task", None),
        ({"size": 100}, "unsupported-size", "size", None),
        ({"size": "512"}, "invalid-request", "size", None),
        ({"dimensions": 512}, "invalid-request", "dimensions", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_request_names_the_place(
    client: TestClient[Litestar],
    change: dict[str, Any],
    slug: str,
    field: str,
    index: int | None,
) -> None:
    body = {"task": "document", "inputs": [{"text": "a"}], **change}
    response = client.post("/api/v1/embed", json=body)
    problem = response.json()
    assert response.status_code == 400
    assert problem["type"] == f"urn:tei-rag-gateway:problem:{slug}"
    assert problem["field"] == field
    assert problem.get("index") == index
    assert problem["detail"]
