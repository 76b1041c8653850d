"""The stub speaks TEI's contract: statuses, texts and headers of both generations."""

import base64

import httpx
import numpy as np
import pytest

from tests.support.tei_stub import TEIStub

LONG = "word " * 3000


def post(stub: TEIStub, path: str, body: object) -> httpx.Response:
    return httpx.post(stub.url + path, json=body)


@pytest.mark.parametrize(
    ("version", "validation", "empty"),
    [("1.8.1", 413, 413), ("1.8.3", 413, 400), ("1.9.3", 422, 400)],
)
def test_error_statuses_are_those_of_the_version(version: str, validation: int, empty: int) -> None:
    with TEIStub(version) as stub:
        too_many = post(stub, "/embed", {"inputs": ["a"] * 33})
        assert too_many.status_code == validation
        assert too_many.json() == {
            "error": "batch size 33 > maximum allowed batch size 32",
            "error_type": "Validation",
        }
        too_long = post(stub, "/v1/embeddings", {"input": [LONG]})
        assert too_long.json() == {
            "message": "Input validation error: `inputs` must have less than 2048 tokens. "
            "Given: 3002",
            "code": validation,
            "type": "Validation",
        }
        assert post(stub, "/embed", {"inputs": ""}).status_code == empty
        assert post(stub, "/embed", {"inputs": []}).json() == {
            "error": "Input validation error: `inputs` cannot be empty",
            "error_type": "Empty",
        }


def test_malformed_requests_get_the_plain_texts_of_axum() -> None:
    with TEIStub(payload_limit=1000) as stub:
        url = stub.url + "/embed"
        headers = {"content-type": "application/json"}
        oversize = httpx.post(url, content=b"x" * 1001, headers=headers)
        assert (oversize.status_code, oversize.text) == (
            413,
            "Failed to buffer the request body: length limit exceeded",
        )
        assert httpx.post(url, content=b"{", headers=headers).status_code == 400
        assert httpx.post(url, content=b"{}").status_code == 415
        wrong_type = post(stub, "/embed", {"inputs": {"a": 1}})
        assert wrong_type.status_code == 422
        assert wrong_type.headers["content-type"].startswith("text/plain")


def test_a_wrong_key_gets_401_without_a_body_and_health_is_public() -> None:
    with TEIStub(api_key="key") as stub:
        refused = httpx.get(stub.url + "/info")
        assert (refused.status_code, refused.content) == (401, b"")
        allowed = httpx.get(stub.url + "/info", headers={"authorization": "Bearer key"})
        assert allowed.json()["version"] == "1.9.3"
        assert httpx.get(stub.url + "/health").status_code == 200


def test_floats_and_base64_carry_the_same_unit_vectors_and_the_cost() -> None:
    with TEIStub() as stub:
        body = {"input": ["one", "two words"]}
        floats = post(stub, "/v1/embeddings", body)
        coded = post(stub, "/v1/embeddings", body | {"encoding_format": "base64"}).json()
        native = post(stub, "/embed", {"inputs": body["input"]})
        rows = np.array([item["embedding"] for item in floats.json()["data"]], np.float32)
        same = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in coded["data"]]
        assert np.array_equal(rows, np.array(same))
        assert np.array_equal(rows, np.array(native.json(), np.float32))
        assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
        assert coded["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
        assert native.headers["x-compute-tokens"] == "7"


def test_truncation_keeps_the_first_tokens_and_can_be_forbidden_per_request() -> None:
    with TEIStub(auto_truncate=True) as stub:
        kept = "word " * 2046
        cut = post(stub, "/embed", {"inputs": LONG})
        assert cut.headers["x-compute-tokens"] == "2048"
        assert cut.json() == post(stub, "/embed", {"inputs": kept.rstrip()}).json()
        assert post(stub, "/embed", {"inputs": LONG, "truncate": False}).status_code == 422


def test_dimensions_cut_before_the_norm_is_restored() -> None:
    with TEIStub() as stub:
        full = np.array(post(stub, "/embed", {"inputs": "a"}).json()[0])
        short = np.array(post(stub, "/embed", {"inputs": "a", "dimensions": 128}).json()[0])
        assert np.allclose(short, full[:128] / np.linalg.norm(full[:128]), atol=1e-6)


def test_tokenize_tells_ids_and_byte_offsets() -> None:
    with TEIStub() as stub:
        tokens = post(stub, "/tokenize", {"inputs": "мир !"}).json()[0]
        assert [(token["start"], token["stop"]) for token in tokens] == [
            (None, None),
            (0, 6),
            (7, 8),
            (None, None),
        ]
        bare = {"inputs": "мир !", "add_special_tokens": False}
        assert len(post(stub, "/tokenize", bare).json()[0]) == 2
