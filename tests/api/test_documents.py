import json
from typing import Any
from urllib.parse import quote

import pytest
from litestar import Litestar
from litestar.testing import TestClient

NDJSON = {"content-type": "application/x-ndjson"}
DOCUMENTS = "/api/v1/collections/a/documents"


@pytest.fixture
def made(client: TestClient[Litestar]) -> TestClient[Litestar]:
    assert client.put("/api/v1/collections/a", json={}).status_code == 201
    return client


def chunks(client: TestClient[Litestar]) -> int:
    return client.get("/api/v1/collections/a").json()["chunks"]


def lines(*documents: dict[str, Any] | str) -> bytes:
    return b"".join(
        (one if isinstance(one, str) else json.dumps(one)).encode() + b"\n" for one in documents
    )


def test_a_list_of_documents_is_stored_once(made: TestClient[Litestar]) -> None:
    body = [{"id": "1", "text": "Mars is red."}, {"id": "2", "text": "Venus.", "title": "Twin"}]
    first = made.post(DOCUMENTS, json=body).json()
    again = made.post(DOCUMENTS, json={"documents": body}).json()
    assert (first["added"], first["chunks"], first["truncated_tokens"]) == (2, 2, 0)
    assert [(row["id"], row["outcome"]) for row in first["documents"]] == [
        ("1", "added"),
        ("2", "added"),
    ]
    assert (again["unchanged"], again["chunks"], again["tokens"]) == (2, 0, 0)
    assert chunks(made) == 2


def test_a_changed_document_loses_its_old_chunks(made: TestClient[Litestar]) -> None:
    long = " ".join(f"Sentence {i} of a long text." for i in range(300))
    made.post(DOCUMENTS, json=[{"id": "1", "text": long}])
    assert chunks(made) > 3
    report = made.post(DOCUMENTS, json=[{"id": "1", "text": "Short now."}]).json()
    assert report["updated"] == 1
    assert chunks(made) == 1


def test_a_stored_document_shows_its_chunks_in_order(made: TestClient[Litestar]) -> None:
    text = " ".join(f"Sentence {i} of a long text." for i in range(300))
    made.post(DOCUMENTS, json=[{"id": "1", "text": text, "title": "T", "metadata": {"year": 2024}}])
    shown = made.get(f"{DOCUMENTS}/1").json()
    assert (shown["title"], shown["metadata"], shown["source"]) == ("T", {"year": 2024}, "api")
    assert [chunk["index"] for chunk in shown["chunks"]] == list(range(len(shown["chunks"])))
    for chunk in shown["chunks"]:
        start, end = chunk["span"]
        assert text[start:end] == chunk["text"]


@pytest.mark.parametrize(
    "document_id",
    ["a/b.md", "a//b", "/rooted", "ends/", "..", "a/../b", "с пробелом?#", "100%", "a%2Fb", "火"],
)
def test_ids_of_any_form_are_found_and_deleted(
    made: TestClient[Litestar], document_id: str
) -> None:
    made.post(DOCUMENTS, json=[{"id": document_id, "text": "x"}, {"id": "other", "text": "y"}])
    path = f"{DOCUMENTS}/{quote(document_id, safe='').replace('.', '%2E')}"
    assert made.get(path).json()["id"] == document_id
    assert made.delete(path).status_code == 204
    assert made.get(path).status_code == 404
    assert made.delete(path).status_code == 404
    assert chunks(made) == 1


def test_a_missing_collection_is_made_only_when_asked(client: TestClient[Litestar]) -> None:
    body = [{"id": "1", "text": "x"}]
    for refused in (
        client.post(DOCUMENTS, json=body),
        client.post(DOCUMENTS, content=lines(*body), headers=NDJSON),
    ):
        assert refused.status_code == 404
        assert "create=true" in refused.json()["detail"]
    assert client.get("/api/v1/collections").json() == {"collections": []}
    made = client.post(f"{DOCUMENTS}?create=true", json=body)
    assert made.json()["added"] == 1


def test_a_broken_line_fails_alone_and_by_number(made: TestClient[Litestar]) -> None:
    body = lines(
        {"id": "1", "text": "good"},
        "{broken",
        {"_id": "2", "text": "also good", "year": 2020},
        "",
        {"id": "3"},
        '{"id":"s","text":"\\ud800"}',
        {"id": "4", "text": "a\x00b"},
        {"id": "5", "text": ""},
        {"id": "6", "text": "the last"},
    )
    response = made.post(DOCUMENTS, content=body, headers=NDJSON)
    report = response.json()
    assert response.status_code == 200
    assert (report["added"], report["failed"], report["empty"]) == (3, 4, 1)
    failures = {row["line"]: row["reason"] for row in report["failures"] if row["id"] is None}
    assert list(failures) == [2, 5, 6, 7]
    assert "not JSON" in failures[2]
    assert "half of a surrogate pair" in failures[6]
    assert "truncated" not in failures[6]
    assert failures[7] == "text has a NUL at character 1; remove it"
    assert {row["id"] for row in report["documents"]} == {"1", "2", "5", "6"}
    assert made.get(f"{DOCUMENTS}/2").json()["metadata"] == {"year": 2020}
    assert chunks(made) == 3


def test_the_last_line_needs_no_line_break(made: TestClient[Litestar]) -> None:
    body = lines({"id": "1", "text": "x"}, {"id": "2", "text": "y"}).rstrip()
    assert made.post(DOCUMENTS, content=body, headers=NDJSON).json()["added"] == 2


@pytest.mark.parametrize(
    ("body", "slug", "field", "index"),
    [
        ([], "invalid-request", None, None),
        ({}, "invalid-request", "documents", None),
        ({"documents": []}, "invalid-request", "documents", None),
        ({"documents": {}}, "invalid-request", "documents", None),
        ("text", "invalid-request", None, None),
        ([{"id": "1", "text": "x"}, {"id": "2"}], "invalid-document", "[1].text", 1),
        ({"documents": [{"text": "x"}]}, "invalid-document", "documents[0].id", 0),
        ([{"id": "1", "text": "x", "txt": 1}], "invalid-document", "[0].txt", 0),
        ([{"id": "1", "text": 5}], "invalid-document", "[0].text", 0),
        ([{"id": "", "text": "x"}], "invalid-document", "[0].id", 0),
        ([{"id": 5, "text": "x"}], "invalid-document", "[0].id", 0),
        ({"documents": [{"_id": 5, "text": "x"}]}, "invalid-document", "documents[0]._id", 0),
        (
            {"documents": [{"id": "1", "text": "x"}, {"id": "2", "text": "a\x00"}]},
            "invalid-document",
            "documents[1].text",
            1,
        ),
        (
            [{"id": "1", "text": "x"}, {"id": "2", "text": "x", "title": "\x00"}],
            "invalid-document",
            "[1].title",
            1,
        ),
        (
            {"documents": [{"id": "1", "text": "x"}, {"id": "2", "text": "a\ud800"}]},
            "invalid-document",
            "documents[1].text",
            1,
        ),
        ([{"id": "1", "text": "x", "title": "\udc00"}], "invalid-document", "[0].title", 0),
        ([{"id": "1", "text": "x", "\ud800": 1}], "invalid-document", "[0].\\ud800", 0),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_bad_json_body_stores_nothing(
    made: TestClient[Litestar], body: Any, slug: str, field: str | None, index: int | None
) -> None:
    headers = {"content-type": "application/json"}
    response = made.post(DOCUMENTS, content=json.dumps(body), headers=headers)
    problem = response.json()
    assert response.status_code == 400
    assert problem["type"].rpartition(":")[2] == slug
    assert (problem.get("field"), problem.get("index")) == (field, index)
    assert chunks(made) == 0


def test_a_prompted_document_fails_unless_it_is_meant(made: TestClient[Litestar]) -> None:
    body = [{"id": "1", "text": "title: none | text: x"}, {"id": "2", "text": "y"}]
    report = made.post(DOCUMENTS, json=body).json()
    assert (report["added"], report["failed"]) == (1, 1)
    assert "double-prompt" in report["failures"][0]["reason"]
    meant = made.post(f"{DOCUMENTS}?allow_prompted=true", json=body).json()
    assert (meant["added"], meant["unchanged"]) == (1, 1)


def test_half_of_a_pair_that_no_document_shows_is_refused_all_the_same(
    made: TestClient[Litestar],
) -> None:
    body = b'[{"id":"1","text":"\\ud800","text":"the later one counts"}]'
    headers = {"content-type": "application/json"}
    problem = made.post(DOCUMENTS, content=body, headers=headers).json()
    assert problem["type"].endswith(":malformed-json")
    assert "half of a surrogate pair" in problem["detail"]
    cut = made.post(DOCUMENTS, content=b'[{"id":"1', headers=headers).json()
    assert "truncated" in cut["detail"]
    assert chunks(made) == 0


def test_whole_numbers_are_ids_in_a_stream_as_in_files(made: TestClient[Litestar]) -> None:
    made.post(DOCUMENTS, content=lines({"_id": 5, "text": "x"}), headers=NDJSON)
    assert made.get(f"{DOCUMENTS}/5").json()["id"] == "5"


def test_a_request_of_which_every_document_failed_is_a_problem_with_its_report(
    made: TestClient[Litestar],
) -> None:
    prompted = {"id": "1", "text": "title: none | text: x"}
    one = made.post(DOCUMENTS, json=[prompted])
    two = made.post(DOCUMENTS, content=lines(prompted, "{broken"), headers=NDJSON)
    for response, failed in ((one, 1), (two, 2)):
        problem = response.json()
        assert response.status_code == problem["status"] == 422
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["type"] == "urn:tei-rag-gateway:problem:nothing-ingested"
        assert (problem["report"]["failed"], problem["report"]["added"]) == (failed, 0)
        assert len(problem["report"]["failures"]) == failed
        assert problem["report"]["failures"][0]["reason"] in problem["detail"]
    assert chunks(made) == 0


@pytest.mark.parametrize("fine", [{"id": "2", "text": "stored"}, {"id": "2", "text": ""}])
def test_a_request_of_which_one_document_did_not_fail_is_served(
    made: TestClient[Litestar], fine: dict[str, Any]
) -> None:
    body = lines({"id": "1", "text": "title: none | text: x"}, fine)
    for _ in range(2):
        response = made.post(DOCUMENTS, content=body, headers=NDJSON)
        assert (response.status_code, response.json()["failed"]) == (200, 1)
    assert made.post(DOCUMENTS, content=b"\n\n", headers=NDJSON).status_code == 200


def test_a_path_that_is_not_utf_8_is_named(made: TestClient[Litestar]) -> None:
    for method in ("GET", "DELETE"):
        response = made.request(method, f"{DOCUMENTS}/a%FF")
        problem = response.json()
        assert response.status_code == 400
        assert problem["type"].endswith(":invalid-request")
        assert problem["field"] == "path"
        assert "'a%FF' of the path is not UTF-8" in problem["detail"]


def test_reports_stay_bounded(made: TestClient[Litestar]) -> None:
    good = [{"id": str(i), "text": f"text {i}"} for i in range(1_200)]
    bad = ["{"] * 1_100
    report = made.post(DOCUMENTS, content=lines(*good, *bad), headers=NDJSON).json()
    assert (report["added"], report["failed"]) == (1_200, 1_100)
    assert (len(report["documents"]), report["documents_omitted"]) == (1_000, 200)
    assert (len(report["failures"]), report["failures_omitted"]) == (1_000, 100)


def test_query_parameters_are_checked(made: TestClient[Litestar]) -> None:
    response = made.post(f"{DOCUMENTS}?create=perhaps", json=[{"id": "1", "text": "x"}])
    assert response.status_code == 400
    assert response.json()["field"] == "create"
    assert chunks(made) == 0
