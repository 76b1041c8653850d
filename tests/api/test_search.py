from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from gateway.embedding.catalog import ALL_MINILM_L6_V2
from tests.api.apps import fake_app, opener

SEARCH = "/api/v1/collections/planets/search"
PLANETS = [
    ("mercury", "Mercury is the smallest planet, close to the sun.", {"moons": 0, "kind": "rock"}),
    ("mars", "Mars is the red planet.", {"moons": 2, "kind": "rock", "tags": ["red"]}),
    ("jupiter", "Jupiter is a giant with a great red spot.", {"moons": 95, "kind": "gas"}),
    ("saturn", "Saturn has rings.", {"moons": 146, "kind": "gas", "rings": True}),
]


@pytest.fixture
def planets(client: TestClient[Litestar]) -> TestClient[Litestar]:
    documents = [{"id": i, "text": t, "metadata": m, "title": i.title()} for i, t, m in PLANETS]
    client.put("/api/v1/collections/planets", json={"filter_fields": {"moons": "integer"}})
    client.post("/api/v1/collections/planets/documents", json=documents)
    return client


def found(client: TestClient[Litestar], **body: Any) -> list[str]:
    response = client.post(SEARCH, json={"query": "red planet", **body})
    assert response.status_code == 200, response.text
    return [hit["document_id"] for hit in response.json()["hits"]]


def test_a_hit_says_what_and_where(planets: TestClient[Litestar]) -> None:
    response = planets.post(SEARCH, json={"query": "which planet is red", "limit": 1})
    assert response.headers["x-gateway-space"] == planets.get("/info").json()["space"]
    body = response.json()
    assert set(body) == {"hits", "warnings"}
    (hit,) = body["hits"]
    assert set(hit) == {
        "id", "score", "document_id", "chunk_index", "title", "heading_path", "text", "span",
        "tokens", "metadata", "source", "ingested_at",
    }  # fmt: skip
    assert hit["document_id"] == "mars"
    assert hit["title"] == "Mars"
    assert hit["metadata"] == {"moons": 2, "kind": "rock", "tags": ["red"]}
    assert PLANETS[1][1][slice(*hit["span"])] == hit["text"]
    assert -1 <= hit["score"] <= 1


def test_explain_tells_prompt_tokens_space_and_stages(planets: TestClient[Litestar]) -> None:
    body = planets.post(SEARCH, json={"query": "red", "explain": True}).json()
    explained = body["explanation"]
    assert explained["prompt"] == "task: search result | query: "
    assert explained["size"] == 512
    assert [stage["stage"] for stage in explained["stages"]] == ["dense", "group", "page"]
    first = body["hits"][0]["stages"][0]
    assert (first["stage"], first["rank"]) == ("dense", 1)
    assert first["score"] == body["hits"][0]["score"]


def test_pages_follow_each_other(planets: TestClient[Litestar]) -> None:
    whole = found(planets)
    assert len(whole) == 4
    assert found(planets, limit=2) + found(planets, limit=2, offset=2) == whole


CHOICES: list[tuple[dict[str, Any], set[str]]] = [
    ({"eq": {"metadata.kind": "gas"}}, {"jupiter", "saturn"}),
    ({"eq": {"metadata.tags": "red"}}, {"mars"}),
    ({"eq": {"document_id": "mars"}}, {"mars"}),
    ({"in": {"metadata.moons": [0, 2]}}, {"mercury", "mars"}),
    ({"range": {"metadata.moons": {"gt": 0, "lte": 95}}}, {"mars", "jupiter"}),
    ({"exists": "metadata.rings"}, {"saturn"}),
    ({"not": {"exists": "metadata.tags"}}, {"mercury", "jupiter", "saturn"}),
    (
        {"and": [{"eq": {"metadata.kind": "rock"}}, {"not": {"eq": {"metadata.moons": 0}}}]},
        {"mars"},
    ),
    (
        {"or": [{"eq": {"metadata.moons": 0}}, {"range": {"metadata.moons": {"gte": 100}}}]},
        {"mercury", "saturn"},
    ),
    ({"range": {"ingested_at": {"gt": "2020-01-01T00:00:00Z"}}}, {p[0] for p in PLANETS}),
    ({"eq": {"metadata.moons": "2"}}, set()),
]


@pytest.mark.parametrize(("where", "expected"), CHOICES, ids=lambda value: str(value)[:50])
def test_filters_choose_chunks(
    planets: TestClient[Litestar], where: dict[str, Any], expected: set[str]
) -> None:
    assert set(found(planets, filter=where)) == expected


def test_a_threshold_and_groups_narrow_the_hits(planets: TestClient[Litestar]) -> None:
    scores = [
        hit["score"] for hit in planets.post(SEARCH, json={"query": "red planet"}).json()["hits"]
    ]
    assert found(planets, score_threshold=scores[1]) == found(planets)[:2]
    long = " ".join(f"Pluto is red number {i}." for i in range(300))
    planets.post("/api/v1/collections/planets/documents", json=[{"id": "pluto", "text": long}])
    assert found(planets, limit=5).count("pluto") > 1
    grouped = found(planets, limit=5, group_by="document")
    assert sorted(grouped) == sorted({*(p[0] for p in PLANETS), "pluto"})


def test_a_text_in_a_script_the_model_never_learned_is_answered_with_a_warning() -> None:
    with TestClient(fake_app(open_runtime=opener(profile=ALL_MINILM_L6_V2))) as client:
        client.put("/api/v1/collections/planets", json={})
        body = client.post(SEARCH, json={"query": "красная планета"}).json()
        assert "another script" in body["warnings"][0]
        assert client.post(SEARCH, json={"query": "red planet"}).json()["warnings"] == []


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"query": ""}, "invalid-request", "query"),
    ({"query": "a\x00"}, "invalid-text", "query"),
    ({"query": "w " * 300_000}, "input-too-long", "query"),
    ({"query": "title: none | text: a"}, "double-prompt", "query"),
    ({"query": ["a"]}, "invalid-request", "query"),
    ({"task": "singing"}, "unknown-task", "task"),
    ({"limit": 0}, "invalid-request", "limit"),
    ({"limit": 1_001}, "invalid-request", "limit"),
    ({"limit": "5"}, "invalid-request", "limit"),
    ({"limit": True}, "invalid-request", "limit"),
    ({"offset": -1}, "invalid-request", "offset"),
    ({"offset": 10_000}, "invalid-request", "offset"),
    ({"group_by": "source"}, "invalid-request", "group_by"),
    ({"top_k": 5}, "invalid-request", "top_k"),
    ({"score_threshold": "high"}, "invalid-request", "score_threshold"),
    ({"filter": {}}, "invalid-filter", "filter"),
    ({"filter": []}, "invalid-filter", "filter"),
    ({"filter": {"eq": {}, "in": {}}}, "invalid-filter", "filter"),
    ({"filter": {"equals": {"metadata.a": 1}}}, "invalid-filter", "filter"),
    ({"filter": {"eq": {"metadata.a": None}}}, "invalid-filter", "filter.eq.metadata.a"),
    ({"filter": {"eq": {"metadata.a": [1]}}}, "invalid-filter", "filter.eq.metadata.a"),
    ({"filter": {"eq": {"lang": "en"}}}, "invalid-filter", "filter.eq"),
    ({"filter": {"in": {"metadata.a": []}}}, "invalid-filter", "filter.in.metadata.a"),
    ({"filter": {"in": {"metadata.a": [1, {}]}}}, "invalid-filter", "filter.in.metadata.a[1]"),
    (
        {"filter": {"and": [{"exists": "title"}, {"range": {"metadata.a": {"gte": "soon"}}}]}},
        "invalid-filter",
        "filter.and[1].range",
    ),
    (
        {"filter": {"range": {"metadata.a": {"above": 1}}}},
        "invalid-filter",
        "filter.range.metadata.a.above",
    ),
    ({"filter": {"or": []}}, "invalid-filter", "filter.or"),
    ({"filter": {"exists": 1}}, "invalid-filter", "filter.exists"),
    ({"filter": {"not": {"not": "x"}}}, "invalid-filter", "filter.not.not"),
]


@pytest.mark.parametrize(("change", "slug", "field"), MISTAKES, ids=lambda value: str(value)[:50])
def test_a_bad_search_names_the_place(
    planets: TestClient[Litestar], change: dict[str, Any], slug: str, field: str
) -> None:
    response = planets.post(SEARCH, json={"query": "red planet", **change})
    problem = response.json()
    assert response.status_code == 400
    assert problem["type"].rpartition(":")[2] == slug
    assert problem["field"] == field
    assert len(found(planets)) == 4


def test_a_filter_that_nests_too_deep_is_refused(planets: TestClient[Litestar]) -> None:
    where: dict[str, Any] = {"exists": "title"}
    for _ in range(40):
        where = {"not": where}
    response = planets.post(SEARCH, json={"query": "x", "filter": where})
    assert response.status_code == 400
    assert "levels" in response.json()["detail"]
