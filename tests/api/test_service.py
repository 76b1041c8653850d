from collections.abc import Generator, Sequence

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from gateway.api.app import create_app
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.encoders.fake import FakeEncoder
from gateway.errors import UpstreamUnavailable
from gateway.ports import Encoding, Health, Lane
from gateway.settings import load_settings
from gateway.vectorstores.memory import MemoryStore
from tests.api.apps import fake_app, opener
from tests.support.ports import free_port


class DownEncoder(FakeEncoder):
    """A model server that went away after the start."""

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        raise UpstreamUnavailable("cannot reach http://tei:80", service="tei")

    async def health(self) -> Health:
        return Health("tei", ok=False, detail="cannot reach http://tei:80")


class SilentStore(MemoryStore):
    """A store whose health check itself fails."""

    async def health(self) -> Health:
        raise UpstreamUnavailable("connection refused", service="qdrant")


@pytest.fixture
def down() -> Generator[TestClient[Litestar], None, None]:
    open_runtime = opener(
        encoder=lambda: DownEncoder(size=EMBEDDING_GEMMA_300M.full_size), store=SilentStore
    )
    with TestClient(fake_app(open_runtime=open_runtime)) as client:
        yield client


def test_alive_and_ready(client: TestClient[Litestar]) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    told = client.get("/readyz?verbose").json()
    assert told["status"] == "ready"
    assert [(check["name"], check["ok"]) for check in told["checks"]] == [
        ("fake", True),
        ("memory", True),
        ("dtype", True),
        ("api-keys", True),
    ]
    assert client.get("/readyz?verbose=false").json() == {"status": "ready"}
    assert client.get("/health?verbose=1").json() == told


def test_not_ready_says_which_part_is_down(down: TestClient[Litestar]) -> None:
    response = down.get("/readyz")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.json() == {
        "status": "not ready",
        "checks": [
            {"name": "tei", "ok": False, "detail": "cannot reach http://tei:80"},
            {"name": "memory", "ok": False, "detail": "connection refused"},
        ],
    }
    assert down.get("/livez").status_code == 200


def test_a_model_server_that_is_down_is_503_with_a_time_to_retry(
    down: TestClient[Litestar],
) -> None:
    call = {"model": "embeddinggemma-300m:query", "input": "a"}
    openai = down.post("/v1/embeddings", json=call)
    native = down.post("/api/v1/embed", json={"task": "query", "inputs": [{"text": "a"}]})
    for response in (openai, native):
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
    assert openai.json()["error"]["type"] == "upstream_error"
    assert openai.json()["error"]["code"] == "upstream_unavailable"
    assert native.json()["service"] == "tei"


def test_an_ingest_that_stops_reports_what_was_done(down: TestClient[Litestar]) -> None:
    down.put("/api/v1/collections/a", json={})
    response = down.post("/api/v1/collections/a/documents", json=[{"id": "1", "text": "x"}])
    problem = response.json()
    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert problem["type"].endswith(":ingest-aborted")
    assert problem["service"] == "tei"
    assert problem["report"]["not_ingested"] == ["1"]
    assert problem["report"]["chunks"] == 0


def test_real_servers_that_are_not_there_are_named_and_503() -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    settings = load_settings(
        {
            "tei": {"urls": [closed], "connect_timeout_seconds": 1, "timeout_seconds": 1},
            "qdrant": {"url": closed, "grpc_port": None},
        },
        environ={},
    )
    with TestClient(create_app(settings)) as client:
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert [(check["name"], check["ok"]) for check in ready.json()["checks"]] == [
            ("tei", False),
            ("qdrant", False),
        ]
        assert closed in ready.json()["checks"][0]["detail"]
        call = {"model": "embeddinggemma-300m:query", "input": "a"}
        embedding = client.post("/v1/embeddings", json=call)
        listing = client.get("/api/v1/collections")
        for response in (embedding, listing):
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
        assert listing.json()["service"] == "qdrant"
        assert client.get("/livez").status_code == 200


def test_info_describes_what_is_served(client: TestClient[Litestar]) -> None:
    info = client.get("/info").json()
    assert info["profile"] == "embeddinggemma-300m"
    assert info["sizes"] == [768, 512, 256, 128]
    assert info["default_size"] == 512
    assert info["encoder"]["kind"] == "fake"
    assert info["store"] == "memory"
    assert info["reranker"] is None
    assert info["space"].startswith("embeddinggemma-300m+fake:")
    assert info["language_note"] is None
    assert info["tasks"][:2] == ["query", "document"]


def test_metrics_count_requests_by_route_and_not_by_path(client: TestClient[Litestar]) -> None:
    client.get("/api/v1/collections/one")
    client.get("/api/v1/collections/two")
    client.get("/no/such/path")
    client.request("BREW", "/livez")
    call = {"model": "embeddinggemma-300m:query", "input": ["a", "b"]}
    client.post("/v1/embeddings", json=call)
    response = client.get("/metrics")
    page = response.text
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    family = "gateway_http_request_duration_seconds_count"
    assert f'{family}{{method="GET",route="/api/v1/collections/{{name}}",status="404"}} 2.0' in page
    assert f'{family}{{method="GET",route="unmatched",status="404"}} 1.0' in page
    assert 'method="other"' in page
    assert "BREW" not in page
    assert 'gateway_embedded_inputs_total{task="query"} 2.0' in page
    assert "gateway_http_requests_in_flight 1.0" in page
