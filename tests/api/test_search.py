import json
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
    (
        "saturn",
        "Saturn has rings.",
        {"moons": 146, "kind": "gas", "rings": True, "visited": "1980-11-12T23:46:00Z"},
    ),
]


FIELDS = {
    "moons": "integer",
    "kind": "keyword",
    "tags": "keyword",
    "rings": "bool",
    "visited": "datetime",
}


@pytest.fixture
def planets(client: TestClient[Litestar]) -> TestClient[Litestar]:
    documents = [{"id": i, "text": t, "metadata": m, "title": i.title()} for i, t, m in PLANETS]
    client.put("/api/v1/collections/planets", json={"filter_fields": FIELDS})
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
    assert explained["mode"] == "hybrid"
    assert explained["fusion"] == {"method": "rrf", "k": 60, "weights": [1.0, 1.0]}
    stages = [(stage["stage"], stage["candidates"]) for stage in explained["stages"]]
    assert stages == [("hybrid", 6), ("page", 4)]
    passes = {
        one["stage"]: (one["candidates"], one["hits"]) for one in explained["stages"][0]["passes"]
    }
    assert passes == {"dense": (0, 4), "lexical": (0, 2)}
    assert explained["stages"][1]["passes"] == []
    told = {stage["stage"]: stage for stage in body["hits"][0]["stages"]}
    assert set(told) == {"dense", "lexical", "hybrid"}
    assert told["hybrid"]["rank"] == 1
    assert told["hybrid"]["score"] == body["hits"][0]["score"]


def test_a_search_for_words_names_no_prompt_that_it_has_not_sent(
    planets: TestClient[Litestar],
) -> None:
    body = planets.post(SEARCH, json={"query": "red", "mode": "lexical", "explain": True}).json()
    explained = body["explanation"]
    assert [explained[key] for key in ("prompt", "tokens", "coarse_size", "fusion")] == [
        None,
        0,
        None,
        None,
    ]


def test_what_is_said_of_groups_needs_groups(planets: TestClient[Litestar]) -> None:
    for body in ({"group_size": 3}, {"group_score": "sum"}):
        response = planets.post(SEARCH, json={"query": "red", **body})
        assert (response.status_code, response.json()["field"]) == (400, "group_by")


def test_a_fusion_that_nothing_uses_is_warned_of(planets: TestClient[Litestar]) -> None:
    fusion = {"fusion": {"weights": [1.0, 3.0]}}
    for mode, words in (("dense", "not used in this one, which is dense"), ("hybrid", "")):
        warnings = planets.post(SEARCH, json={"query": "red", "mode": mode, **fusion}).json()
        assert words in "".join(warnings["warnings"])
        assert bool(warnings["warnings"]) == bool(words)


def test_the_trace_is_the_request(planets: TestClient[Litestar]) -> None:
    response = planets.post(SEARCH, json={"query": "red", "explain": True})
    assert response.json()["explanation"]["trace_id"] == response.headers["x-request-id"]


def test_every_stage_can_be_asked_for(planets: TestClient[Litestar]) -> None:
    for body in (
        {"mode": "dense"},
        {"mode": "lexical"},
        {"mode": "hybrid", "fusion": {"method": "dbsf"}},
        {"fusion": {"k": 2, "weights": [1.0, 0.5]}, "candidates": 10},
        {"mmr": 0.5},
        {"coarse": False, "rerank": False},
        {"group_by": "document", "group_score": "sum", "group_size": 2},
        {"neighbours": 2},
    ):
        assert found(planets, **body)[0] == "mars", body


def test_several_texts_are_one_search(planets: TestClient[Litestar]) -> None:
    body = {"queries": ["great spot", "rings"], "mode": "lexical"}
    response = planets.post(SEARCH, json=body)
    assert {hit["document_id"] for hit in response.json()["hits"]} == {"jupiter", "saturn"}


def test_neighbours_are_shown_only_when_asked_for(client: TestClient[Litestar]) -> None:
    text = "\n\n".join(f"# Part {i}\n\n" + f"word{i} " * 150 for i in range(4))
    document = {"id": "d", "text": text, "format": "markdown"}
    made = client.post("/api/v1/collections/long/documents?create=true", json=[document])
    assert made.status_code == 200, made.text
    url = "/api/v1/collections/long/search"
    body = {"query": "word2", "mode": "lexical", "limit": 1}
    assert "neighbours" not in client.post(url, json=body).json()["hits"][0]
    hit = client.post(url, json={**body, "neighbours": 1}).json()["hits"][0]
    beside = [neighbour["chunk_index"] for neighbour in hit["neighbours"]]
    assert beside == [hit["chunk_index"] - 1, hit["chunk_index"] + 1]
    assert hit["neighbours"][0]["text"] == text[slice(*hit["neighbours"][0]["span"])]


def test_a_batch_answers_each_search_with_hits_or_its_problem(
    planets: TestClient[Litestar],
) -> None:
    searches = [
        {"query": "red planet", "limit": 1},
        {"query": "rings", "mode": "lexical", "explain": True},
        {"query": "red", "filter": {"eq": {"metadata.colour": "red"}}},
        {"query": "x", "limit": 0},
        {"query": " "},
    ]
    response = planets.post(f"{SEARCH}/batch", json={"searches": searches})
    assert response.status_code == 200, response.text
    assert response.headers["x-gateway-space"]
    first, second, *bad = response.json()["answers"]
    alone = planets.post(SEARCH, json=searches[0]).json()
    assert [hit["id"] for hit in first["result"]["hits"]] == [hit["id"] for hit in alone["hits"]]
    assert second["result"]["explanation"]["mode"] == "lexical"
    assert [answer["problem"]["status"] for answer in bad] == [400, 400, 400]
    assert "metadata.colour" in bad[0]["problem"]["detail"]
    assert [answer["problem"]["field"] for answer in bad] == ["filter.eq", "limit", "query"]
    missing = planets.post("/api/v1/collections/none/search/batch", json={"searches": searches[:1]})
    assert missing.status_code == 404


MALFORMED: list[tuple[Any, str | None]] = [
    ({"query": "red", "top_k": 3}, "top_k"),
    ({"query": "red", "limit": "5"}, "limit"),
    ({"query": "red", "queries": ["red"]}, None),
    ({}, None),
    ({"query": "red", "mode": "semantic"}, "mode"),
    ({"query": "red", "fusion": {"weights": [1.0]}}, "fusion.weights[1]"),
    ({"query": "red", "rerank": {"candidates": "many"}}, "rerank.candidates"),
    ("red", None),
    (None, None),
]


def test_a_malformed_search_of_a_batch_spoils_no_other(planets: TestClient[Litestar]) -> None:
    good = {"query": "red", "fusion": {"weights": [1.0, 0.5]}}
    searches = [good, *(item for item, _ in MALFORMED), good]
    response = planets.post(f"{SEARCH}/batch", json={"searches": searches})
    assert response.status_code == 200, response.text
    first, *bad, last = response.json()["answers"]
    assert first["result"]["hits"] == last["result"]["hits"] != []
    for (item, field), answer in zip(MALFORMED, bad, strict=True):
        alone = planets.post(SEARCH, content=json.dumps(item)).json()
        problem = answer["problem"]
        assert problem.get("field") == alone.get("field") == field
        assert problem["detail"].replace("the search:", "the body:") == alone["detail"]
        assert "value error" not in alone["detail"]
        for same in ("type", "title", "status"):
            assert problem[same] == alone[same]


@pytest.mark.parametrize(
    "body",
    [
        {"searches": []},
        {"searches": [{"query": "red"}] * 101},
        {"searches": {"query": "red"}},
        {"searches": [{"query": "red"}], "limit": 3},
        {},
        [{"query": "red"}],
    ],
    ids=lambda body: str(body)[:40],
)
def test_a_body_that_is_no_batch_is_refused_whole(
    planets: TestClient[Litestar], body: object
) -> None:
    assert planets.post(f"{SEARCH}/batch", json=body).status_code == 400


def test_what_a_collection_lacks_is_refused_with_the_remedy(client: TestClient[Litestar]) -> None:
    client.put("/api/v1/collections/plain", json={"lexical": False})
    url = "/api/v1/collections/plain/search"
    assert client.post(url, json={"query": "x"}).json()["hits"] == []
    refusals = {
        "mode": ({"mode": "lexical"}, "search it by mode dense"),
        "coarse": ({"coarse": 2048}, "no short vectors of size 2048"),
        "rerank": ({"rerank": True}, "no reranker is configured"),
        "filter.eq": ({"filter": {"eq": {"metadata.year": 1}}}, "--field NAME:TYPE"),
    }
    for field, (body, remedy) in refusals.items():
        response = client.post(url, json={"query": "x", **body})
        problem = response.json()
        assert (response.status_code, problem["field"]) == (400, field)
        assert remedy in problem["detail"]


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
    ({"eq": {"metadata.moons": 2.0}}, {"mars"}),
    ({"eq": {"metadata.visited": "1980-11-13T00:46:00+01:00"}}, {"saturn"}),
    ({"in": {"metadata.visited": ["1980-11-12", "1980-11-12T23:46:00.000Z"]}}, {"saturn"}),
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


MISTAKES: list[tuple[dict[str, Any], str, str | None]] = [
    ({"query": ""}, "invalid-request", "query"),
    ({"query": "a\x00"}, "invalid-text", "query"),
    ({"query": "w " * 300_000}, "input-too-long", "query"),
    ({"query": "title: none | text: a"}, "double-prompt", "query"),
    ({"query": ["a"]}, "invalid-request", "query"),
    ({"queries": ["a"]}, "invalid-request", None),
    ({"query": None, "queries": ["a", " "]}, "invalid-text", "queries[1]"),
    ({"mmr": 0.5, "limit": 600, "offset": 600}, "invalid-request", "offset"),
    ({"query": None, "queries": []}, "invalid-request", "queries"),
    ({"query": None, "queries": ["a"] * 17}, "invalid-request", "queries"),
    ({"mode": "semantic"}, "invalid-request", "mode"),
    ({"fusion": {"method": "max"}}, "invalid-request", "fusion.method"),
    ({"fusion": {"k": 0}}, "invalid-request", "fusion.k"),
    ({"fusion": {"weights": [0.0, 0.0]}}, "invalid-request", "fusion.weights"),
    ({"candidates": 1_000_000}, "invalid-request", "candidates"),
    ({"rerank": {"candidates": 0}}, "invalid-request", "rerank.candidates"),
    ({"mmr": 2.0}, "invalid-request", "mmr"),
    ({"group_by": "document", "group_size": 0}, "invalid-request", "group_size"),
    ({"neighbours": 11}, "invalid-request", "neighbours"),
    ({"filter": {"eq": {"metadata.colour": "red"}}}, "invalid-filter", "filter.eq"),
    (
        {"filter": {"or": [{"exists": "title"}, {"not": {"in": {"metadata.moons": [2, "95"]}}}]}},
        "invalid-filter",
        "filter.or[1].not.in.metadata.moons[1]",
    ),
    ({"limit": 1_000_000}, "invalid-request", "limit"),
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
    planets: TestClient[Litestar], change: dict[str, Any], slug: str, field: str | None
) -> None:
    response = planets.post(SEARCH, json={"query": "red planet", **change})
    problem = response.json()
    assert response.status_code == 400
    assert problem["type"].rpartition(":")[2] == slug
    assert problem.get("field") == field
    assert len(found(planets)) == 4


def test_a_filter_that_nests_too_deep_is_refused(planets: TestClient[Litestar]) -> None:
    where: dict[str, Any] = {"exists": "title"}
    for _ in range(40):
        where = {"not": where}
    response = planets.post(SEARCH, json={"query": "x", "filter": where})
    assert response.status_code == 400
    assert "levels" in response.json()["detail"]
