"""No replica answers: callers are told when to come back, and what is stored is whole or named."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient

from gateway.api.app import create_app
from gateway.encoders.fake import FakeEncoder
from gateway.ports import Encoding, Lane
from gateway.settings import Settings, load_settings
from tests.api.apps import live
from tests.support.tei_stub import TEIStub

PATH = "/api/v1/collections/a"
NDJSON = {"content-type": "application/x-ndjson"}


class Stalling(FakeEncoder):
    """Answers so many texts, then none; `stalled` tells when."""

    def __init__(self, texts: int) -> None:
        super().__init__()
        self.left = texts
        self.stalled = Event()

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        self.left -= len(texts)
        if self.left < 0:
            self.stalled.set()
            await asyncio.sleep(60)
        return await super().encode(texts, lane=lane)

    def heal(self) -> None:
        self.left = 1_000_000


def settings_of(*urls: str) -> Settings:
    tei: dict[str, Any] = {
        "urls": list(urls),
        "timeout_seconds": 2,
        "connect_timeout_seconds": 2,
        "verify_goldens": False,  # the stubs make up their vectors
    }
    layer: dict[str, Any] = {"store": "memory", "tei": tei, "ingest": {"chunk_tokens": 32}}
    return load_settings(layer, environ={})


def documents(count: int) -> list[dict[str, str]]:
    """Every third has three chunks, the others one."""
    return [
        {"id": f"d{n}", "text": " ".join([f"word{n}"] * (5 if n % 3 else 60))} for n in range(count)
    ]


def require_outage(response: httpx.Response) -> dict[str, Any]:
    """Return the problem of a 503 that says when to come back."""
    assert response.status_code == 503, response.text
    assert int(response.headers["retry-after"]) >= 1
    return response.json()


def test_a_replica_that_comes_late_is_named_until_it_answers() -> None:
    stub = TEIStub()
    with TestClient(create_app(settings_of(stub.url))) as client:
        (check,) = require_outage(client.get("/readyz"))["checks"]
        assert check["name"] == "tei"
        assert stub.url in check["detail"]
        assert client.get("/livez").status_code == 200
        with stub:
            assert eventually_ready(client)
            call = {"model": "embeddinggemma-300m:query", "input": "a"}
            assert client.post("/v1/embeddings", json=call).status_code == 200
        assert require_outage(client.get("/readyz"))["status"] == "not ready"


def test_one_replica_of_two_is_enough_and_the_other_is_named() -> None:
    away = TEIStub()
    with TEIStub() as stub, TestClient(create_app(settings_of(away.url, stub.url))) as client:
        assert eventually_ready(client)
        detail = client.get("/readyz?verbose").json()["checks"][0]["detail"]
        assert away.url in detail
        assert stub.url in detail


def eventually_ready(client: TestClient[Any], seconds: float = 15) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if client.get("/readyz").status_code == 200:
            return True
        time.sleep(0.05)
    return False


def test_every_call_that_needs_a_vector_is_503_and_stores_nothing() -> None:
    with ExitStack() as served:
        stub = served.enter_context(TEIStub())
        with TestClient(create_app(settings_of(stub.url))) as client:
            client.put(PATH, json={})
            client.post(f"{PATH}/documents", json=[{"id": "kept", "text": "red planet"}])
            served.close()
            new = [{"id": "new", "text": "blue planet"}]
            query = {"task": "query", "inputs": [{"text": "a"}]}
            call = {"model": "embeddinggemma-300m:query", "input": "a"}
            assert require_outage(client.post("/api/v1/embed", json=query))["service"] == "tei"
            assert require_outage(client.post(f"{PATH}/search", json={"query": "a"}))
            error = require_outage(client.post("/v1/embeddings", json=call))["error"]
            assert error["code"] == "upstream_unavailable"
            for sent in (
                client.post(f"{PATH}/documents", json=new),
                client.post(f"{PATH}/documents", content=json.dumps(new[0]), headers=NDJSON),
            ):
                problem = require_outage(sent)
                assert problem["report"]["not_ingested"] == ["new"]
                assert problem["report"]["chunks"] == 0
            assert client.get(PATH).json()["chunks"] == 1
            assert client.get(f"{PATH}/documents/new").status_code == 404


@pytest.mark.parametrize("kind", ["json", "stream"])
def test_a_server_that_dies_in_mid_ingest_leaves_whole_documents_and_names_the_rest(
    kind: str,
) -> None:
    encoder = Stalling(620)  # enough for the first window of documents, not for the second
    stub = TEIStub(encoder=encoder)
    sent = documents(600)
    with ExitStack() as up:
        served = up.enter_context(ExitStack())
        served.enter_context(stub)
        base = up.enter_context(live(create_app(settings_of(stub.url))))
        client = up.enter_context(httpx.Client(base_url=base, timeout=60))
        client.put(PATH, json={})

        def stop() -> None:
            assert encoder.stalled.wait(30)
            served.close()

        def lines() -> Iterator[bytes]:
            for number, document in enumerate(sent):
                if number == 560:
                    stop()
                yield json.dumps(document).encode() + b"\n"

        if kind == "json":
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(client.post, f"{PATH}/documents", json=sent)
                stop()
            response = answer.result()
        else:
            response = client.post(f"{PATH}/documents", content=lines(), headers=NDJSON)
        report = require_outage(response)["report"]
        done = {row["id"]: row["chunks"] for row in report["documents"]}
        assert report["failed"] == 0
        assert done
        assert client.get(PATH).json()["chunks"] == report["chunks"] > 0
        require_whole_or_named(client, sent, done, set(report["not_ingested"]))

        encoder.heal()
        served.enter_context(stub)
        again = client.post(f"{PATH}/documents", json=sent).json()
        assert again["unchanged"] >= len(done)
        assert again["failed"] == 0
        assert again["added"] + again["updated"] + again["unchanged"] == len(sent)


def require_whole_or_named(
    client: httpx.Client, sent: list[dict[str, str]], done: dict[str, int], named: set[str]
) -> None:
    for document in sent:
        name = document["id"]
        stored = client.get(f"{PATH}/documents/{name}")
        if name in done:
            chunks = stored.json()["chunks"]
            assert len(chunks) == done[name]
            assert " ".join(chunk["text"] for chunk in chunks) == document["text"]
        else:
            assert stored.status_code == 404 or name in named
