from typing import Any, get_args

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from gateway.domain.lexical import LANGUAGES
from gateway.embedding.catalog import ALL_MINILM_L6_V2
from gateway.schemas.collections import Language
from gateway.vectorstores.memory import MemoryStore
from tests.api.apps import fake_app, opener

PATH = "/api/v1/collections"


def test_an_empty_body_takes_the_defaults(client: TestClient[Litestar]) -> None:
    made = client.put(f"{PATH}/a", json={})
    assert made.status_code == 201
    assert made.json() == {
        "name": "a",
        "profile": "embeddinggemma-300m",
        "space": client.get("/info").json()["space"],
        "size": 512,
        "filter_fields": {},
        "lexical": {
            "language": "auto",
            "k1": 1.2,
            "b": 0.75,
            "average_words": 100.0,
            "folding": True,
        },
        "coarse": None,
        "tuning": {
            "quantization": "int8",
            "oversampling": 2.0,
            "coarse_oversampling": 10.0,
            "hnsw_ef": 128,
        },
        "calibrated": [],
        "chunks": 0,
        "usable": True,
    }
    again = client.put(f"{PATH}/a", json={})
    assert (again.status_code, again.json()) == (200, made.json())
    assert client.get(f"{PATH}/a").json() == made.json()
    assert client.get(PATH).json() == {"collections": [made.json()]}


def test_size_and_filter_fields_are_kept(client: TestClient[Litestar]) -> None:
    fields = {"year": "integer", "author.name": "keyword"}
    made = client.put(f"{PATH}/a", json={"size": 128, "filter_fields": fields}).json()
    assert (made["size"], made["filter_fields"]) == (128, fields)


def test_another_size_is_a_conflict_that_changes_nothing(client: TestClient[Litestar]) -> None:
    before = client.put(f"{PATH}/a", json={"size": 128}).json()
    for body in ({"size": 256}, {"size": 128, "filter_fields": {"year": "integer"}}):
        response = client.put(f"{PATH}/a", json=body)
        assert response.status_code == 409
        assert response.json()["type"].endswith(":collection-mismatch")
    assert client.get(f"{PATH}/a").json() == before


def test_a_collection_of_another_model_is_listed_and_refused() -> None:
    store = MemoryStore()
    with TestClient(fake_app(open_runtime=opener(store=lambda: store))) as gemma:
        gemma.put(f"{PATH}/a", json={})
        gemma.post(f"{PATH}/a/documents", json=[{"id": "1", "text": "x"}])
    with TestClient(
        fake_app(open_runtime=opener(profile=ALL_MINILM_L6_V2, store=lambda: store))
    ) as other:
        (listed,) = other.get(PATH).json()["collections"]
        assert (listed["usable"], listed["chunks"]) == (False, 1)
        for response in (
            other.put(f"{PATH}/a", json={}),
            other.post(f"{PATH}/a/search", json={"query": "x"}),
            other.post(f"{PATH}/a/documents", json=[{"id": "2", "text": "y"}]),
        ):
            assert response.status_code == 409
            assert response.json()["type"].endswith(":space-mismatch")
        assert other.get(f"{PATH}/a").json()["chunks"] == 1


def test_a_deleted_collection_is_gone(client: TestClient[Litestar]) -> None:
    client.put(f"{PATH}/a", json={})
    assert client.delete(f"{PATH}/a").status_code == 204
    for response in (client.get(f"{PATH}/a"), client.delete(f"{PATH}/a")):
        assert response.status_code == 404


@pytest.mark.parametrize("name", ["-a", "a..b", "a b", "%2E%2E", "x" * 101, "\u0444"])
def test_an_unusable_name_is_refused_everywhere(client: TestClient[Litestar], name: str) -> None:
    for response in (
        client.put(f"{PATH}/{name}", json={}),
        client.get(f"{PATH}/{name}"),
        client.delete(f"{PATH}/{name}"),
        client.post(f"{PATH}/{name}/search", json={"query": "x"}),
        client.post(f"{PATH}/{name}/documents?create=true", json=[{"id": "1", "text": "x"}]),
    ):
        assert response.status_code == 400
        assert response.json()["type"].endswith(":invalid-name")
    assert client.get(PATH).json() == {"collections": []}


@pytest.mark.parametrize(
    ("body", "slug", "field"),
    [
        ({"size": 100}, "unsupported-size", "size"),
        ({"size": "512"}, "invalid-request", "size"),
        ({"dim": 512}, "invalid-request", "dim"),
        ({"filter_fields": {"a": "text"}}, "invalid-request", "filter_fields.a"),
        ({"filter_fields": {"a b": "keyword"}}, "invalid-name", "filter_fields"),
        ({"filter_fields": {"metadata.a": "keyword"}}, "invalid-name", "filter_fields"),
        ([], "invalid-request", None),
    ],
    ids=str,
)
def test_a_bad_body_makes_nothing(
    client: TestClient[Litestar], body: Any, slug: str, field: str | None
) -> None:
    response = client.put(f"{PATH}/a", json=body)
    assert response.status_code == 400
    assert response.json()["type"].rpartition(":")[2] == slug
    assert response.json().get("field") == field
    assert client.get(f"{PATH}/a").status_code == 404


def test_words_and_short_vectors_are_chosen_when_a_collection_is_made(
    client: TestClient[Litestar],
) -> None:
    body = {"size": 768, "coarse": 128, "lexical": {"language": "russian", "b": 0.4}}
    made = client.put(f"{PATH}/a", json=body)
    assert made.status_code == 201, made.text
    assert made.json()["coarse"] == 128
    assert made.json()["lexical"]["language"] == "russian"
    assert client.put(f"{PATH}/a", json={"size": 768}).json() == made.json()
    assert client.put(f"{PATH}/a", json=body).status_code == 200
    for other in ({"size": 768, "coarse": 256}, {"size": 768, "lexical": False}):
        assert client.put(f"{PATH}/a", json=other).status_code == 409
    assert client.put(f"{PATH}/b", json={"lexical": False}).json()["lexical"] is None
    assert client.put(f"{PATH}/b", json={}).status_code == 200
    refused = client.put(f"{PATH}/b", json={"lexical": True})
    assert refused.status_code == 409
    assert "indexes no words" in refused.json()["detail"]
    assert client.put(f"{PATH}/a", json={"size": 768, "lexical": True}).json() == made.json()
    told = client.put(f"{PATH}/c", json={"lexical": True}).json()["lexical"]
    assert (told["language"], told["folding"]) == ("auto", True)
    assert client.put(f"{PATH}/c", json={"lexical": told}).status_code == 200, "it can be sent back"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"size": 256, "coarse": 512}, "coarse"),
        ({"size": 256, "coarse": 256}, "coarse"),
        ({"coarse": 999}, "coarse"),
        ({"size": 999, "coarse": 128}, "size"),
        ({"lexical": {"language": "klingon"}}, "lexical.language"),
        ({"lexical": {"b": 2.0}}, "lexical.b"),
    ],
)
def test_words_and_short_vectors_without_sense_are_refused(
    client: TestClient[Litestar], body: dict[str, Any], field: str
) -> None:
    response = client.put(f"{PATH}/a", json=body)
    assert (response.status_code, response.json()["field"]) == (400, field)
    assert client.get(f"{PATH}/a").status_code == 404


def test_the_described_languages_are_those_that_have_a_stemmer() -> None:
    assert get_args(Language) == LANGUAGES
