import base64
from typing import Any

import numpy as np
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_300M
from gateway.encoders.fake import FakeEncoder
from gateway.errors import ConfigurationError
from tests.api.apps import fake_app, opener, settings_of

QUERY = "embeddinggemma-300m:query"
DOCUMENT = "embeddinggemma-300m:document"


def embed(client: TestClient[Litestar], **body: Any) -> dict[str, Any]:
    response = client.post("/v1/embeddings", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def refused(client: TestClient[Litestar], **body: Any) -> tuple[int, dict[str, Any]]:
    response = client.post("/v1/embeddings", json=body)
    assert set(response.json()) == {"error"}
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return response.status_code, response.json()["error"]


def vectors(reply: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.array([item["embedding"] for item in reply["data"]], np.float32)


def test_a_reply_has_openais_shape(client: TestClient[Litestar]) -> None:
    reply = embed(client, model=QUERY, input=["one two", "three"], user="someone")
    assert reply["object"] == "list"
    assert reply["model"] == QUERY
    assert [item["index"] for item in reply["data"]] == [0, 1]
    assert {item["object"] for item in reply["data"]} == {"embedding"}
    assert np.allclose(np.linalg.norm(vectors(reply), axis=1), 1, atol=1e-6)


def test_the_default_size_is_the_profiles_or_the_operators(client: TestClient[Litestar]) -> None:
    assert vectors(embed(client, model=QUERY, input="a")).shape == (1, 512)
    settings = settings_of().model_copy(update={"size": 128})
    with TestClient(fake_app(settings)) as small:
        assert vectors(embed(small, model=QUERY, input="a")).shape == (1, 128)
        assert small.get("/info").json()["default_size"] == 128


@pytest.mark.parametrize("size", EMBEDDING_GEMMA_300M.sizes)
def test_base64_and_numbers_are_the_same_vector(client: TestClient[Litestar], size: int) -> None:
    call = {"model": QUERY, "input": "red planet", "dimensions": size}
    numbers = vectors(embed(client, **call, encoding_format="float"))[0]
    packed = embed(client, **call, encoding_format="base64")["data"][0]["embedding"]
    assert np.array_equal(np.frombuffer(base64.b64decode(packed), "<f4"), numbers)
    assert numbers.shape == (size,)


def test_null_fields_mean_the_same_as_missing_ones(client: TestClient[Litestar]) -> None:
    nulls = {
        "dimensions": None,
        "encoding_format": None,
        "user": None,
        "titles": None,
        "allow_prompted": None,
    }
    assert embed(client, model=QUERY, input="a", **nulls) == embed(client, model=QUERY, input="a")


def test_usage_is_what_the_encoder_read(client: TestClient[Litestar]) -> None:
    reply = embed(client, model=QUERY, input=["red planet", "sea"])
    count = FakeEncoder().token_counter()
    exact = sum(count(f"task: search result | query: {text}") for text in ("red planet", "sea"))
    assert reply["usage"] == {"prompt_tokens": exact, "total_tokens": exact}


def test_the_task_is_said_by_alias_input_type_or_prompt_name(client: TestClient[Litestar]) -> None:
    bare = "embeddinggemma-300m"
    query = embed(client, model=QUERY, input="a")["data"]
    assert embed(client, model=bare, input="a", input_type="query")["data"] == query
    assert embed(client, model=bare, input="a", prompt_name="Retrieval-query")["data"] == query
    assert embed(client, model=f"google/{bare}:query", input="a")["data"] == query
    assert embed(client, model=QUERY, input="a", input_type="query")["data"] == query
    assert embed(client, model=DOCUMENT, input="a")["data"] != query


def test_titles_are_part_of_documents(client: TestClient[Litestar]) -> None:
    titled = embed(client, model=DOCUMENT, input=["a", "a"], titles=["T", None])["data"]
    plain = embed(client, model=DOCUMENT, input="a")["data"]
    assert titled[1]["embedding"] == plain[0]["embedding"]
    assert titled[0]["embedding"] != plain[0]["embedding"]


def test_a_bare_model_is_refused_with_the_aliases(client: TestClient[Litestar]) -> None:
    status, error = refused(client, model="embeddinggemma-300m", input="a")
    assert status == 400
    assert (error["code"], error["param"]) == ("task_required", "model")
    assert QUERY in error["message"]
    assert DOCUMENT in error["message"]


def test_a_bare_model_takes_the_operators_default_when_set() -> None:
    with TestClient(fake_app(settings_of(default_task="document"))) as client:
        by_default = embed(client, model="embeddinggemma-300m", input="a")["data"]
        assert by_default == embed(client, model=DOCUMENT, input="a")["data"]


def test_a_default_task_that_the_model_lacks_stops_the_start() -> None:
    app = fake_app(settings_of(default_task="singing"))
    unusable = pytest.RaisesExc(ConfigurationError, match="default_task")
    with pytest.RaisesGroup(unusable), TestClient(app):
        pass


@pytest.mark.parametrize(
    ("body", "status", "code", "param", "said"),
    [
        ({"input": "a"}, 400, "invalid_request", "model", "missing"),
        ({"model": QUERY}, 400, "invalid_request", "input", "missing"),
        ({"model": "gpt", "input": "a"}, 404, "model_not_found", "model", "embeddinggemma-300m"),
        (
            {"model": "embeddinggemma-2:query", "input": "a"},
            404,
            "model_not_found",
            "model",
            "served: embeddinggemma-300m",
        ),
        (
            {"model": "embeddinggemma-300m:qery", "input": "a"},
            400,
            "unknown_task",
            "model",
            "'query'",
        ),
        (
            {"model": QUERY, "input": "a", "input_type": "document"},
            400,
            "invalid_request",
            "input_type",
            "say it once",
        ),
        ({"model": QUERY, "input": [1, 2]}, 400, "token_ids_refused", "input", "send texts"),
        ({"model": QUERY, "input": [[1], [2]]}, 400, "token_ids_refused", "input", "send texts"),
        ({"model": QUERY, "input": ["a", 3]}, 400, "token_ids_refused", "input", "send texts"),
        ({"model": QUERY, "input": 7}, 400, "invalid_request", "input", "int"),
        ({"model": QUERY, "input": ["a", None]}, 400, "invalid_request", "input[1]", "null"),
        ({"model": QUERY, "input": []}, 400, "invalid_request", "input", "empty"),
        ({"model": QUERY, "input": ""}, 400, "invalid_text", "input[0]", "empty"),
        ({"model": QUERY, "input": ["a", ""]}, 400, "invalid_text", "input[1]", "empty"),
        ({"model": QUERY, "input": "a\x00"}, 400, "invalid_text", "input[0]", "NUL"),
        ({"model": QUERY, "input": ["a"] * 10_000}, 400, "too_many_inputs", "input", "2048"),
        ({"model": QUERY, "input": "w " * 300_000}, 400, "input_too_long", "input[0]", "2048"),
        (
            {"model": QUERY, "input": "task: search result | query: a"},
            400,
            "double_prompt",
            "input[0]",
            "bare text",
        ),
        (
            {"model": QUERY, "input": "a", "dimensions": 300},
            400,
            "unsupported_size",
            "dimensions",
            "768, 512, 256, 128",
        ),
        (
            {"model": QUERY, "input": "a", "dimensions": "512"},
            400,
            "invalid_request",
            "dimensions",
            "int",
        ),
        (
            {"model": QUERY, "input": "a", "encoding_format": "hex"},
            400,
            "invalid_request",
            "encoding_format",
            "hex",
        ),
        (
            {"model": QUERY, "input": "a", "dimension": 512},
            400,
            "invalid_request",
            "dimension",
            "did you mean 'dimensions'?",
        ),
        (
            {"model": QUERY, "input": "a", "titles": ["T"]},
            400,
            "invalid_request",
            "titles[0]",
            "only documents",
        ),
        (
            {"model": DOCUMENT, "input": ["a", "b"], "titles": ["T"]},
            400,
            "invalid_request",
            "titles",
            "1 titles for 2 inputs",
        ),
        (
            {"model": DOCUMENT, "input": ["a", "b"], "titles": [None, "T | text: x"]},
            400,
            "double_prompt",
            "titles[1]",
            "title contains",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_call_is_refused_by_name(
    client: TestClient[Litestar],
    body: dict[str, Any],
    status: int,
    code: str,
    param: str,
    said: str,
) -> None:
    found, error = refused(client, **body)
    assert (found, error["code"], error["param"]) == (status, code, param)
    assert said in error["message"]
    assert error["type"] == "invalid_request_error"
    embed(client, model=QUERY, input="still served")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"{", "truncated; send one JSON document"),
        (b'{"model":"%s","input":"\\ud83d\\ude' % QUERY.encode(), "truncated"),
        (b'{"model": "\xff"}', "UTF-8"),
        (b'{"model":"%s","input":"\\ud800"}' % QUERY.encode(), "other half"),
        (b'{"model":"%s","input":"\\udc00 low"}' % QUERY.encode(), "other half"),
    ],
    ids=["empty", "cut", "cut in a pair", "not utf-8", "high surrogate", "low surrogate"],
)
def test_what_is_no_json_is_refused(client: TestClient[Litestar], raw: bytes, said: str) -> None:
    headers = {"content-type": "application/json"}
    response = client.post("/v1/embeddings", content=raw, headers=headers)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "malformed_json"
    assert said in response.json()["error"]["message"]


def test_half_of_a_surrogate_pair_is_not_called_truncated(client: TestClient[Litestar]) -> None:
    raw = b'{"model":"%s","input":"a\\ud83d"}' % QUERY.encode()
    headers = {"content-type": "application/json"}
    for path in ("/v1/embeddings", "/api/v1/embed"):
        said = client.post(path, content=raw, headers=headers).text
        assert f"at byte {raw.index(b'd83d') - 2} is half of a surrogate pair" in said
        assert "truncated" not in said


def test_a_prompted_text_is_embedded_when_it_is_meant(client: TestClient[Litestar]) -> None:
    call = {"model": QUERY, "input": "task: search result | query: a"}
    _, error = refused(client, **call)
    assert "allow_prompted" in error["message"]
    assert vectors(embed(client, **call, allow_prompted=True)).shape == (1, 512)
    assert refused(client, **call, allow_prompted=False)[1]["code"] == "double_prompt"
    assert refused(client, **call, allow_prompted=1)[1]["param"] == "allow_prompted"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1", 404, "not_found"),
        ("POST", "/v1/chat/completions", 404, "not_found"),
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_served_below_v1_is_refused_in_openais_shape(
    client: TestClient[Litestar], method: str, path: str, status: int, code: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.json()["error"]["code"] == code
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert ("allow" in response.headers) == (status == 405)
    beside = client.get("/v1x")
    assert beside.headers["content-type"] == "application/problem+json"


def test_other_content_types_are_refused(client: TestClient[Litestar]) -> None:
    for headers in (
        {"content-type": "text/plain"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ):
        response = client.post("/v1/embeddings", content=b"{}", headers=headers)
        assert response.status_code == 415
        assert response.json()["error"]["code"] == "unsupported_media_type"


def test_models_are_listed_with_their_aliases(client: TestClient[Litestar]) -> None:
    ids = [card["id"] for card in client.get("/v1/models").json()["data"]]
    assert ids[0] == "embeddinggemma-300m"
    assert {QUERY, DOCUMENT, "google/embeddinggemma-300m"} <= set(ids)
    for name in ids:
        assert client.get(f"/v1/models/{name}").json()["id"] == name
    missing = client.get("/v1/models/gpt")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


def test_texts_in_any_script_pass_unchanged(client: TestClient[Litestar]) -> None:
    texts = ["Übergröße", "красная планета", "火星", "🪐 rings", "a\r\nb \t", "\u202eabc"]
    together = vectors(embed(client, model=DOCUMENT, input=texts))
    alone = np.concatenate([vectors(embed(client, model=DOCUMENT, input=t)) for t in texts])
    assert np.array_equal(together, alone)
    assert len(np.unique(together, axis=0)) == len(texts)


def test_another_profile_needs_no_change_here() -> None:
    with TestClient(fake_app(open_runtime=opener(profile=ALL_MINILM_L6_V2))) as client:
        reply = embed(client, model="all-minilm-l6-v2:query", input="a")
        assert vectors(reply).shape == (1, 384)
        status, error = refused(client, model=QUERY, input="a")
        assert (status, error["code"]) == (404, "model_not_found")
        assert "English only" in client.get("/info").json()["language_note"]
