import asyncio
import json
import re
import socket
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import httpx
import pytest
import structlog
from litestar import Litestar
from litestar.testing import TestClient

from gateway.encoders.fake import FakeEncoder
from gateway.ports import Encoding, Lane
from tests.api.apps import KEY, fake_app, live, opener, settings_of

CALL = {"model": "embeddinggemma-300m:query", "input": "a text of the caller"}


class SlowEncoder(FakeEncoder):
    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        await asyncio.sleep(60)
        return await super().encode(texts, lane=lane)


@pytest.mark.parametrize("given", ["abc-123", "0af7651916cd43dd:8448eb/2+1=", "x" * 128])
def test_a_usable_request_id_is_kept(client: TestClient[Litestar], given: str) -> None:
    assert client.get("/livez", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "<script>", "a\tb"])
def test_an_unusable_request_id_is_replaced(client: TestClient[Litestar], given: str) -> None:
    made = client.get("/livez", headers={"x-request-id": given}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", made)


def test_every_answer_has_an_id_of_its_own(client: TestClient[Litestar]) -> None:
    paths = ["/livez", "/nothing", "/api/v1/collections/-", "/v1/models/x", "/docs"]
    ids = [client.get(path).headers["x-request-id"] for path in paths]
    assert len(set(ids)) == len(ids)


def test_the_log_has_one_line_a_request_without_texts_or_keys() -> None:
    with (
        TestClient(fake_app(settings_of(api_keys=KEY))) as client,
        structlog.testing.capture_logs(
            processors=[structlog.contextvars.merge_contextvars]
        ) as logged,
    ):
        headers = {"x-api-key": KEY, "x-request-id": "r-1"}
        client.post("/v1/embeddings", json=CALL, headers=headers)
        client.post("/v1/embeddings", json={**CALL, "dimensions": 5}, headers=headers)
    requests = [line for line in logged if line["event"] == "request"]
    assert [line["status"] for line in requests] == [200, 400]
    first = requests[0]
    assert (first["method"], first["route"], first["request_id"]) == (
        "POST",
        "/v1/embeddings",
        "r-1",
    )
    assert 0 < first["seconds"] < 60
    assert CALL["input"] not in str(logged)
    assert KEY not in str(logged)


def test_a_request_over_the_deadline_is_ended_in_the_shape_of_its_route() -> None:
    settings = settings_of(request_timeout_seconds=2.0)
    with TestClient(fake_app(settings, opener(encoder=SlowEncoder))) as client:
        openai = client.post("/v1/embeddings", json=CALL)
        native = client.post("/api/v1/embed", json={"task": "query", "inputs": [{"text": "a"}]})
        client.put("/api/v1/collections/a", json={})
        path = "/api/v1/collections/a/documents"
        stored = client.post(path, json=[{"id": "1", "text": "x"}])
        assert client.get("/livez").status_code == 200
    assert {openai.status_code, native.status_code, stored.status_code} == {504}
    assert openai.json()["error"]["code"] == "upstream_timeout"
    for response in (native, stored):
        assert response.json()["service"] == "gateway"
        assert "request_timeout_seconds" in response.json()["detail"]


def test_a_body_over_the_limit_is_refused_announced_or_chunked() -> None:
    with live(fake_app(settings_of(max_body_bytes=10_000))) as url, httpx.Client() as client:
        body = json.dumps({**CALL, "input": "x" * 20_000}).encode()

        def pieces() -> Iterator[bytes]:
            for start in range(0, len(body), 1_000):
                yield body[start : start + 1_000]

        headers = {"content-type": "application/json"}
        for path, shape in (("/v1/embeddings", "error"), ("/api/v1/embed", "detail")):
            for content in (body, pieces()):
                response = client.post(url + path, content=content, headers=headers)
                assert response.status_code == 413
                assert "10000 bytes" in str(response.json()[shape])
        assert client.post(f"{url}/v1/embeddings", json=CALL).status_code == 200


def test_one_connection_serves_many_requests_good_and_bad(base_url: str) -> None:
    address = urlsplit(base_url)
    good = json.dumps(CALL).encode()
    with socket.create_connection((str(address.hostname), address.port or 0), timeout=10) as sock:
        stream = sock.makefile("rb")
        for body, status in ((good, b"200"), (b"{", b"400"), (good, b"200")):
            head = (
                f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n"
            )
            sock.sendall(head.encode() + body)
            lines = list(iter(stream.readline, b"\r\n"))
            assert lines[0].split()[1] == status
            length = next(int(x.split(b":")[1]) for x in lines if x.startswith(b"content-length"))
            assert len(stream.read(length)) == length
        stream.close()


def test_texts_come_back_as_they_were_sent(base_url: str) -> None:
    text = "Größe, 火星 🪐, красная\r\n\ttab"
    path = f"{base_url}/api/v1/collections/utf8"
    with httpx.Client() as client:
        client.put(path, json={})
        client.post(f"{path}/documents", json=[{"id": "ключ/1", "text": text, "title": "Ü"}])
        (hit,) = client.post(f"{path}/search", json={"query": "火星"}).json()["hits"]
        assert (hit["document_id"], hit["title"]) == ("ключ/1", "Ü")
        assert hit["text"] == text[slice(*hit["span"])]
        assert "火星 🪐" in hit["text"]
