"""The server store on real sockets: what is repeated, what is told, how long it takes."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, cast

import grpc
import pytest
from qdrant_client import AsyncQdrantClient
from qdrant_client import grpc as wire

from gateway.domain.collections import StoredForm
from gateway.domain.documents import chunk_id
from gateway.errors import (
    CollectionMismatch,
    CollectionNotFound,
    GatewayError,
    UnsupportedServer,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamQuota,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Event, UpstreamCalled, UpstreamRetried
from gateway.vectorstores.qdrant import QdrantStore
from gateway.vectorstores.qdrant_errors import shown_address
from gateway.vectorstores.schema import spec_to_json
from tests.contract.stores import SPEC, made
from tests.support.ports import free_port
from tests.unit.vectorstores.qdrant_stub import Answer, grpc_stub, http_stub

pytestmark = pytest.mark.anyio

NONE = Answer(result={"collections": []})


@pytest.fixture(scope="module", autouse=True)
async def one_loop(anyio_backend: str) -> AsyncGenerator[None, None]:
    """Keep one event loop: gRPC may tell late of a channel, to the loop that it was opened in."""
    yield  # noqa: PT022  the loop ends when this does


async def info_of_docs(**changes: Any) -> dict[str, Any]:
    """What a server says of our collection, as the client's own models write it."""
    client = AsyncQdrantClient(":memory:")
    await QdrantStore.over(client).ensure(SPEC)
    info = (await client.get_collection("docs")).model_dump(mode="json")
    info["config"]["metadata"] = spec_to_json(SPEC)
    await client.close()
    return {**info, **changes}


@pytest.mark.parametrize(
    "failure",
    [
        Answer(503),
        Answer(502, raw=b"<html>bad gateway</html>"),
        Answer(504),
        Answer(408),
        Answer(429),
        Answer(429, headers=[("retry-after", "1")]),
        Answer(429, headers=[("retry-after", "soon")]),
    ],
    ids=["503", "502", "504", "408", "429", "429 wait", "429 nonsense"],
)
async def test_a_passing_failure_is_tried_again(failure: Answer) -> None:
    events: list[Event] = []
    async with http_stub(failure, NONE) as stub:
        store = QdrantStore.connect(stub.url, sink=events.append)
        started = time.monotonic()
        assert await store.list_collections() == []
        waited = time.monotonic() - started
        await store.aclose()
    assert stub.seen == ["GET /collections"] * 2
    assert waited >= (1.0 if failure.headers and failure.headers[0][1] == "1" else 0.0)
    called = [event for event in events if isinstance(event, UpstreamCalled)]
    assert [event.outcome == "ok" for event in called] == [False, True]
    retried = [event for event in events if isinstance(event, UpstreamRetried)]
    assert [(event.service, event.attempt) for event in retried] == [("qdrant", 1)]
    assert retried[0].slug == called[0].outcome


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Answer(400), UpstreamRejected),
        (Answer(401, raw=b"Must provide an API key"), UpstreamRejected),
        (Answer(403, raw=b"Forbidden"), UpstreamRejected),
        (Answer(404), UpstreamRejected),
        (Answer(405), UpstreamRejected),
        (Answer(409), UpstreamRejected),
        (Answer(422), UpstreamRejected),
        (Answer(500), UpstreamError),
        (Answer(507), UpstreamQuota),
        (Answer(200, raw=b'{"hello": "world", "result": 3}'), UpstreamRejected),
    ],
    ids=lambda value: str(getattr(value, "status", "")),
)
async def test_a_lasting_failure_is_told_at_once(
    failure: Answer, error: type[GatewayError]
) -> None:
    async with http_stub(failure) as stub:
        store = QdrantStore.connect(stub.url)
        with pytest.raises(error) as caught:
            await store.list_collections()
        await store.aclose()
    assert type(caught.value) is error
    assert stub.seen == ["GET /collections"]
    if failure.status in (401, 403):
        assert "API key" in caught.value.message


async def test_repeats_end_and_the_last_failure_is_told() -> None:
    async with http_stub(Answer(503)) as stub:
        store = QdrantStore.connect(stub.url)
        with pytest.raises(UpstreamUnavailable, match="told to say 503"):
            await store.list_collections()
        await store.aclose()
    assert len(stub.seen) == 4


async def test_a_wait_longer_than_the_deadline_is_passed_on_to_the_caller() -> None:
    async with http_stub(Answer(429, headers=[("retry-after", "3600")])) as stub:
        store = QdrantStore.connect(stub.url)
        started = time.monotonic()
        with pytest.raises(UpstreamOverloaded) as caught:
            await store.list_collections()
        assert time.monotonic() - started < 10
        await store.aclose()
    assert caught.value.retry_after_seconds == 3600
    assert len(stub.seen) == 1


async def test_a_silent_server_is_a_timeout_within_the_deadline() -> None:
    async with http_stub(replace(NONE, delay=30)) as stub:
        store = QdrantStore.connect(stub.url, search_timeout_seconds=0.3)
        started = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            await store.list_collections()
        assert time.monotonic() - started < 10
        assert not (await store.health()).ok
        await store.aclose()


async def test_a_server_that_is_not_there_is_told_quickly() -> None:
    port = free_port()
    store = QdrantStore.connect(f"http://user:s3cret@127.0.0.1:{port}/?token=s3cret")
    started = time.monotonic()
    with pytest.raises(UpstreamUnavailable) as caught:
        await store.count("docs")
    assert time.monotonic() - started < 10
    assert caught.value.service == "qdrant"
    assert caught.value.retry_after_seconds is not None
    health = await store.health()
    assert not health.ok
    for message in (caught.value.message, health.detail):
        assert f"Qdrant at http://127.0.0.1:{port} failed" in message
        assert "is it up? check qdrant.url (GATEWAY_QDRANT__URL)" in message
        assert "s3cret" not in message
    assert health.name == "qdrant"
    await store.aclose()


async def test_connections_to_localhost_are_kept_alive() -> None:
    async with http_stub(NONE) as stub:
        store = QdrantStore.connect(stub.url)
        for _ in range(5):
            await store.list_collections()
        await store.aclose()
    assert len(stub.seen) == 5
    assert stub.connections == 1


async def test_the_key_is_sent_and_never_told() -> None:
    async with http_stub(Answer(403, raw=b"Forbidden")) as stub:
        store = QdrantStore.connect(stub.url, api_key="s3cret")
        with pytest.raises(UpstreamRejected) as caught:
            await store.list_collections()
        await store.aclose()
    assert stub.headers[0]["api-key"] == "s3cret"
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost:6333", "http://localhost:6333"),
        ("https://key@db.example/qdrant/", "https://db.example/qdrant"),
        ("https://a:b@c@[::1]:6333?api_key=x#y@z", "https://[::1]:6333"),
        ("user:pass@localhost:6333", "localhost:6333"),
    ],
)
def test_addresses_are_shown_without_secrets(url: str, shown: str) -> None:
    assert shown_address(url) == shown


@pytest.mark.parametrize(
    ("version", "ok"),
    [("1.16.0", True), ("1.19.0", True), ("2.0.0-dev", True), ("1.15.5", False), ("odd", False)],
)
async def test_readiness_names_the_oldest_server_we_take(version: str, ok: bool) -> None:
    greeting = json.dumps({"title": "qdrant - vector search engine", "version": version})
    async with http_stub(Answer(raw=greeting.encode())) as stub:
        store = QdrantStore.connect(stub.url)
        health = await store.health()
        await store.aclose()
    assert health.ok is ok
    assert version in health.detail
    assert ok or "1.16" in health.detail


async def test_an_unknown_collection_is_not_an_upstream_failure() -> None:
    async with http_stub(Answer(404)) as stub:
        store = QdrantStore.connect(stub.url)
        with pytest.raises(CollectionNotFound, match="docs"):
            await store.count("docs")
        await store.aclose()


async def test_a_collection_of_somebody_else_is_neither_listed_nor_touched() -> None:
    info = await info_of_docs()
    info["config"]["metadata"] = {"owner": "somebody else"}
    listed = Answer(result={"collections": [{"name": "docs"}]})
    async with http_stub(listed, Answer(result=info)) as stub:
        store = QdrantStore.connect(stub.url)
        assert await store.list_collections() == []
        for call in (store.ensure(SPEC), store.drop("docs"), store.upsert("docs", [made()])):
            with pytest.raises(CollectionMismatch, match="not made by a gateway"):
                await call
        await store.aclose()
    assert {line.split()[0] for line in stub.seen} == {"GET"}


async def test_a_server_without_collection_metadata_is_refused() -> None:
    info = await info_of_docs()
    info["config"]["metadata"] = None
    async with http_stub(Answer(404), Answer(result=True), Answer(result=info)) as stub:
        store = QdrantStore.connect(stub.url)
        with pytest.raises(UnsupportedServer, match=r"1\.16"):
            await store.ensure(SPEC)
        await store.aclose()


async def test_indexes_are_made_with_the_collection_and_missing_ones_later() -> None:
    done = Answer(result={"operation_id": 1, "status": "completed"})
    keyword = {"data_type": "keyword", "points": 0}
    has_some = await info_of_docs(payload_schema={"document_id": keyword, "metadata.tag": keyword})
    async with http_stub(Answer(result=has_some), done) as stub:
        store = QdrantStore.connect(stub.url)
        await store.ensure(SPEC)
        await store.aclose()
    made_now = [line for line in stub.seen if line.startswith("PUT /collections/docs/index")]
    assert len(made_now) == 3 + len(SPEC.filter_fields) - 2


async def test_missing_indexes_are_told_and_made_when_asked_for() -> None:
    keyword = {"data_type": "keyword", "points": 0}
    fields = ["document_id", "content_hash", "chunk_index"]
    fields += [f"metadata.{key}" for key in SPEC.filter_fields if key != "year"]
    info = Answer(result=await info_of_docs(payload_schema=dict.fromkeys(fields, keyword)))
    done = Answer(result={"operation_id": 1, "status": "completed"})
    async with http_stub(info, info, done) as stub:
        store = QdrantStore.connect(stub.url, grpc_port=None)
        assert await store.inspect("docs") == StoredForm("dot", SPEC.size, ("metadata.year",))
        assert await store.mend_indexes("docs") == ["metadata.year"]
        await store.aclose()
    assert [line.partition("?")[0] for line in stub.seen] == [
        "GET /collections/docs",
        "GET /collections/docs",
        "PUT /collections/docs/index",
    ]


async def test_upserts_go_by_grpc_in_batches_and_wait_to_be_applied() -> None:
    info = Answer(result=await info_of_docs())
    chunks = [made("d", index, metadata={"n": [1, None, "é"]}) for index in range(300)]
    async with http_stub(info) as stub, grpc_stub(grpc.StatusCode.UNAVAILABLE) as points:
        store = QdrantStore.connect(stub.url, api_key="s3cret", grpc_port=points.port)
        await store.upsert("docs", chunks)
        await store.aclose()
    assert [len(request.points) for request in points.upserts] == [256, 44]
    assert all(request.wait for request in points.upserts)
    assert points.keys == ["s3cret"] * 2
    first = points.upserts[0].points[0]
    assert first.id.uuid == str(chunk_id("docs", "d", 0))
    sent = first.vectors.vectors.vectors["dense"]
    assert list(sent.dense.data or sent.data) == chunks[0].vector.tolist()
    assert first.payload["text"].string_value == "text 0 of d"
    assert len(first.payload["metadata"].struct_value.fields["n"].list_value.values) == 3


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, UpstreamUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, UpstreamOverloaded),
        (grpc.StatusCode.DEADLINE_EXCEEDED, UpstreamTimeout),
        (grpc.StatusCode.INVALID_ARGUMENT, UpstreamRejected),
        (grpc.StatusCode.UNAUTHENTICATED, UpstreamRejected),
        (grpc.StatusCode.INTERNAL, UpstreamError),
        (grpc.StatusCode.NOT_FOUND, CollectionNotFound),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
async def test_failures_by_grpc_are_told_by_meaning(
    code: grpc.StatusCode, error: type[GatewayError]
) -> None:
    info = Answer(result=await info_of_docs())
    async with http_stub(info) as stub, grpc_stub(*[code] * 4) as points:
        store = QdrantStore.connect(stub.url, grpc_port=points.port)
        with pytest.raises(error) as caught:
            await store.upsert("docs", [made()])
        await store.aclose()
    assert type(caught.value) is error
    assert points.upserts == []


async def test_a_write_that_was_only_received_is_not_acknowledged() -> None:
    info = Answer(result=await info_of_docs())
    received = cast("Any", wire).UpdateStatus.Acknowledged
    async with http_stub(info) as stub, grpc_stub(status=received) as points:
        store = QdrantStore.connect(stub.url, grpc_port=points.port)
        with pytest.raises(UpstreamTimeout, match="acknowledged"):
            await store.upsert("docs", [made()])
        await store.aclose()


async def test_a_missing_grpc_port_is_told_quickly() -> None:
    async with http_stub(Answer(result=await info_of_docs())) as stub:
        store = QdrantStore.connect(stub.url, grpc_port=free_port())
        with pytest.raises(UpstreamUnavailable, match=r"gRPC.*check .* qdrant\.grpc_port"):
            async with asyncio.timeout(30):
                await store.upsert("docs", [made()])
        await store.aclose()


async def test_upserts_may_go_by_rest() -> None:
    done = Answer(result={"operation_id": 1, "status": "completed"})
    async with http_stub(Answer(result=await info_of_docs()), done) as stub:
        store = QdrantStore.connect(stub.url, prefer_grpc_upsert=False)
        await store.upsert("docs", [made()])
        await store.aclose()
    assert stub.seen[1].startswith("PUT /collections/docs/points?")
    assert "wait=true" in stub.seen[1]
