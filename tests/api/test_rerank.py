"""A gateway with a reranker behind it: searches, readiness, and what it costs when that is away."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.api.app import create_app
from gateway.bootstrap import open_runtime
from gateway.errors import UnsupportedServer
from gateway.modelserver.contract import EMBEDDING, RERANKER
from gateway.settings import load_settings
from tests.support.tei_stub import TEIStub
from tests.support.word_scorer import WordScorer, logit

MODEL = "tiny/reranker"
SEARCH = "/api/v1/collections/planets/search"
TEXTS = {
    "mars": "Mars is the red planet.",
    "jupiter": "Jupiter is a giant with a great red spot.",
    "saturn": "Saturn has rings.",
}


@pytest.fixture
def stub() -> TEIStub:
    return TEIStub(
        reranker=WordScorer(), model_type=RERANKER, model_id=MODEL, max_client_batch_size=2
    )


@contextmanager
def gateway(stub: TEIStub, **rerank: Any) -> Generator[TestClient[Any], None, None]:
    """A gateway with three documents, a reranker at the stub's address and made-up vectors."""
    section = {"urls": stub.url, "model": MODEL, "timeout_seconds": 20.0, **rerank}
    settings = load_settings({"store": "memory", "encoder": "fake", "rerank": section}, environ={})
    with TestClient(create_app(settings)) as client:
        documents = [{"id": id_, "text": text} for id_, text in TEXTS.items()]
        done = client.post("/api/v1/collections/planets/documents?create=true", json=documents)
        assert done.status_code == 200, done.text
        yield client


def reranker_of(readiness: Any) -> Any:
    (check,) = [check for check in readiness["checks"] if check["name"] == "reranker"]
    return check


def search(client: TestClient[Any], **body: Any) -> Any:
    return client.post(SEARCH, json={"query": "great red spot", **body})


def test_hits_are_in_the_order_of_the_reranker_and_bear_its_scores(stub: TEIStub) -> None:
    with stub, gateway(stub, raw_scores=True) as client:
        hits = search(client).json()["hits"]
        plain = search(client, rerank=False).json()["hits"]
    wanted = {id_: logit("great red spot", text) for id_, text in TEXTS.items()}
    assert [hit["document_id"] for hit in hits] == sorted(wanted, key=lambda id_: -wanted[id_])
    assert {hit["document_id"]: hit["score"] for hit in hits} == pytest.approx(wanted, abs=1e-6)
    assert {hit["document_id"] for hit in plain} == set(TEXTS)


def test_scores_are_probabilities_unless_raw_ones_are_set(stub: TEIStub) -> None:
    with stub, gateway(stub) as client:
        hits = search(client).json()["hits"]
    assert all(0 < hit["score"] < 1 for hit in hits)
    assert hits[0]["document_id"] == "jupiter"


def test_info_names_the_reranker(stub: TEIStub) -> None:
    with stub, gateway(stub) as client:
        told = client.get("/info").json()["reranker"]
    assert told == {"kind": "tei", "model_id": MODEL, "raw": False}


def test_a_configured_reranker_is_part_of_readiness(stub: TEIStub) -> None:
    with stub:
        with gateway(stub) as client:
            check = reranker_of(client.get("/readyz?verbose").json())
            assert check["ok"]
            assert stub.url in check["detail"]
            stub.fail("unhealthy", path="/health", times=None)
            told = client.get("/readyz")
        assert told.status_code == 503
        assert [check["name"] for check in told.json()["checks"]] == ["reranker"]


def test_a_reranker_that_is_away_fails_searches_and_says_which(stub: TEIStub) -> None:
    with gateway(stub) as client:  # never entered: nobody listens
        answer = search(client)
        told = client.get("/readyz").json()
        assert search(client, rerank=False).status_code == 200
    assert answer.status_code == 503
    assert answer.json()["service"] == "rerank"
    assert stub.url in told["checks"][0]["detail"]


def test_a_reranker_that_is_away_is_skipped_where_that_is_set_and_said(stub: TEIStub) -> None:
    with gateway(stub, on_failure="skip") as client:
        answer = search(client)
        told = client.get("/readyz?verbose")
    assert {hit["document_id"] for hit in answer.json()["hits"]} == set(TEXTS)
    assert "reranking was skipped (upstream-unavailable)" in answer.json()["warnings"][0]
    assert told.status_code == 200
    assert reranker_of(told.json())["detail"].startswith("searches go without it: ")


def test_what_a_search_does_not_say_of_reranking_is_as_the_gateway_is_set(stub: TEIStub) -> None:
    with gateway(stub, on_failure="skip", candidates=2) as client:  # nobody listens
        (warning,) = search(client, rerank={"candidates": 3}).json()["warnings"]
        assert "reranking was skipped" in warning
        assert search(client, rerank={"on_failure": "error"}).status_code == 503
    with stub, gateway(stub, candidates=2) as client:
        asked = {"rerank": {"on_failure": "skip"}, "explain": True, "limit": 1}
        body = search(client, **asked).json()
        read = {stage["stage"]: stage["candidates"] for stage in body["explanation"]["stages"]}
        assert read["rerank"] == 2


@pytest.mark.anyio
async def test_a_server_that_is_no_reranker_stops_the_start() -> None:
    with TEIStub(model_type=EMBEDDING) as embedding:
        sections = {"store": "memory", "encoder": "fake", "rerank": {"urls": embedding.url}}
        with pytest.raises(UnsupportedServer, match="is no reranker"):
            async with open_runtime(load_settings(sections, environ={})):
                pytest.fail("it started")
