"""Vectors of another model are refused, although their size and prompts are the same."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from gateway.bootstrap import Runtime
from gateway.embedding.catalog import EMBEDDING_GEMMA_2, EMBEDDING_GEMMA_300M
from gateway.embedding.profile import ModelProfile
from gateway.settings import Settings
from tests.api.apps import fake_app
from tests.support.spaces import KINDS, OpenStore, gateway_of, place

PATH = "/api/v1/collections/planets"
MODELS = [(EMBEDDING_GEMMA_300M, EMBEDDING_GEMMA_2), (EMBEDDING_GEMMA_2, EMBEDDING_GEMMA_300M)]
DOCUMENT = {"id": "mars", "text": "Mars is the red planet"}


def client_of(profile: ModelProfile, open_store: OpenStore) -> TestClient[Litestar]:
    @asynccontextmanager
    async def opened(settings: Settings) -> AsyncGenerator[Runtime, None]:
        async with gateway_of(profile, open_store, settings) as runtime:
            yield runtime

    return TestClient(fake_app(open_runtime=opened))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("writer", "reader"), MODELS, ids=["300m then 2", "2 then 300m"])
def test_a_gemma_of_another_generation_may_neither_write_nor_search(
    kind: str, writer: ModelProfile, reader: ModelProfile, tmp_path: Path
) -> None:
    stores = place(kind, tmp_path)
    with client_of(writer, stores) as first:
        assert first.post(f"{PATH}/documents?create=true", json=[DOCUMENT]).status_code == 200
    with client_of(reader, stores) as second:
        answers = [
            second.put(PATH, json={}),
            second.post(f"{PATH}/documents", json=[{"id": "b", "text": "other"}]),
            second.post(f"{PATH}/documents?create=true", json=[DOCUMENT]),
            second.post(f"{PATH}/search", json={"query": "red"}),
        ]
        shown = second.get(PATH)
    spaces = [model.fingerprint("fake") for model in (writer, reader)]
    for answer in answers:
        problem = answer.json()
        assert answer.status_code == 409
        assert problem["type"].endswith(":space-mismatch")
        assert [problem["stored_space"], problem["offered_space"]] == spaces
        assert all(space in problem["detail"] for space in spaces)
        assert "ingest into a new collection" in problem["detail"]
        assert answer.headers["x-gateway-space"] == spaces[1]
    assert shown.json()["chunks"] == 1
    assert shown.json()["usable"] is False
    assert shown.headers["x-gateway-space"] == spaces[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_of_another_space_can_be_looked_at_and_deleted(
    kind: str, tmp_path: Path
) -> None:
    writer, reader = MODELS[0]
    stores = place(kind, tmp_path)
    with client_of(writer, stores) as first:
        assert first.post(f"{PATH}/documents?create=true", json=[DOCUMENT]).status_code == 200
    one = f"{PATH}/documents/mars"
    with client_of(reader, stores) as second:
        answers = [second.get(one), second.delete(one)]
        assert second.get(one).status_code == 404
        assert second.get(PATH).json()["chunks"] == 0
    assert [answer.status_code for answer in answers] == [200, 204]
    assert {a.headers["x-gateway-space"] for a in answers} == {writer.fingerprint("fake")}


def test_every_route_of_vectors_names_their_space(client: TestClient[Litestar]) -> None:
    space = EMBEDDING_GEMMA_300M.fingerprint("fake")
    line = '{"id": "a", "text": "x"}'
    answers = [
        client.put(PATH, json={}),
        client.put(PATH, json={}),
        client.get(PATH),
        client.post(f"{PATH}/documents", json=[DOCUMENT]),
        client.post(
            f"{PATH}/documents", content=line, headers={"content-type": "application/x-ndjson"}
        ),
        client.post(f"{PATH}/search", json={"query": "x"}),
        client.post("/api/v1/embed", json={"task": "query", "inputs": [{"text": "x"}]}),
        client.post("/v1/embeddings", json={"model": "embeddinggemma-300m:query", "input": ["x"]}),
        client.get("/info"),
        client.get(f"{PATH}/documents/mars"),
        client.delete(f"{PATH}/documents/mars"),
    ]

    assert [a.status_code for a in answers] == [201, *[200] * 9, 204]
    assert {a.headers["x-gateway-space"] for a in answers} == {space}
    assert client.get("/info").json()["space"] == space
