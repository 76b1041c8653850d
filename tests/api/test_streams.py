"""Long bodies over a real connection: read as they come, and never lost when they end early."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.api.drain import Drain
from tests.api.apps import fake_app, live, settings_of

HEADERS = {"content-type": "application/x-ndjson"}


def line(index: int) -> bytes:
    return json.dumps({"id": str(index), "text": f"text number {index}"}).encode() + b"\n"


def chunks(client: httpx.Client, url: str) -> int:
    return client.get(f"{url}/api/v1/collections/a").json()["chunks"]


def test_a_chunked_stream_is_stored_whole_whatever_its_cuts(base_url: str) -> None:
    body = b"".join(line(i) for i in range(500)) + b"{broken\n" + line(500)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 777):
            yield body[start : start + 777]

    with httpx.Client(base_url=base_url) as client:
        client.put("/api/v1/collections/a", json={})
        response = client.post("/api/v1/collections/a/documents", content=pieces(), headers=HEADERS)
        report = response.json()
        assert (report["added"], report["failed"]) == (501, 1)
        assert report["failures"][0]["line"] == 501
        assert chunks(client, base_url) == 501


def test_a_stream_is_not_buffered_whole() -> None:
    """Far more passes than the process grows by."""
    settings = settings_of(max_body_bytes=10_000)
    filler = "x" * 200_000
    record = json.dumps({"id": "same", "text": "short", "metadata": {}, "ignored": filler})
    blank = b" " * 999_999 + b"\n"

    def pieces() -> Iterator[bytes]:
        yield line(1)
        for _ in range(300):
            yield blank
        yield record.encode()[:10] + b"\n"
        yield line(2)

    with live(fake_app(settings)) as url, httpx.Client(timeout=60) as client:
        client.put(f"{url}/api/v1/collections/a", json={})
        before = resident_bytes()
        response = client.post(
            f"{url}/api/v1/collections/a/documents", content=pieces(), headers=HEADERS
        )
        assert response.json()["added"] == 2
        assert response.json()["failures"][0]["line"] == 302
        assert resident_bytes() - before < 150_000_000


def resident_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.is_file():
        pytest.skip("needs /proc to read the resident size")
    found = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS"))
    return int(found.split()[1]) * 1024


def test_a_stream_over_the_limit_keeps_what_came_before() -> None:
    with live(fake_app(settings_of(max_stream_bytes=5_000))) as url, httpx.Client() as client:
        path = f"{url}/api/v1/collections/a"
        client.put(path, json={})

        def pieces() -> Iterator[bytes]:
            for i in range(400):
                yield line(i)

        response = client.post(f"{path}/documents", content=pieces(), headers=HEADERS)
        problem = response.json()
        assert response.status_code == 413
        assert problem["report"]["added"] == chunks(client, url) > 50
        announced = client.post(f"{path}/documents", content=b" " * 6_000, headers=HEADERS)
        assert announced.status_code == 413
        assert "report" not in announced.json()
        assert announced.json()["detail"].startswith("the stream is over 5000 bytes; send it in")
        assert "ndjson" not in announced.text


def test_a_stream_that_stops_coming_is_reported_with_the_next_line() -> None:
    settings = settings_of(request_timeout_seconds=1.5)
    with live(fake_app(settings)) as url, httpx.Client(timeout=30) as client:
        path = f"{url}/api/v1/collections/a"
        client.put(path, json={})

        def pieces() -> Iterator[bytes]:
            yield line(1) + line(2) + line(3)[:10]
            time.sleep(5)
            yield line(3)[10:]

        response = client.post(f"{path}/documents", content=pieces(), headers=HEADERS)
        problem = response.json()
        assert response.status_code == 408
        assert "from line 3" in problem["detail"]
        assert problem["report"]["added"] == 2
        assert chunks(client, url) == 2


def test_a_slow_stream_may_last_longer_than_the_deadline() -> None:
    settings = settings_of(request_timeout_seconds=3.0)
    with live(fake_app(settings)) as url, httpx.Client(timeout=30) as client:
        path = f"{url}/api/v1/collections/a"
        client.put(path, json={})

        def pieces() -> Iterator[bytes]:
            for i in range(6):
                time.sleep(0.6)
                yield line(i)

        response = client.post(f"{path}/documents", content=pieces(), headers=HEADERS)
        assert response.status_code == 200
        assert response.json()["added"] == 6


def test_a_caller_that_goes_away_loses_nothing_that_was_sent() -> None:
    with live(fake_app()) as url, httpx.Client(timeout=30) as client:
        client.put(f"{url}/api/v1/collections/a", json={})
        address = urlsplit(url)
        with socket_to(address.hostname, address.port) as sock:
            sock.sendall(
                b"POST /api/v1/collections/a/documents HTTP/1.1\r\nhost: x\r\n"
                b"content-type: application/x-ndjson\r\ncontent-length: 100000\r\n\r\n"
                + line(1)
                + line(2)
            )
            time.sleep(0.3)
        deadline = time.monotonic() + 10
        while chunks(client, url) < 2:
            assert time.monotonic() < deadline, "what was sent before the cut was not stored"
            time.sleep(0.05)


def socket_to(host: str | None, port: int | None) -> socket.socket:
    return socket.create_connection((str(host), port or 0), timeout=10)


def test_a_stopping_server_answers_an_open_stream_with_its_report() -> None:
    with live(fake_app(settings_of(shutdown_seconds=8))) as url:
        address = urlsplit(url)
        sender = HTTPConnection(str(address.hostname), address.port, timeout=30)
        sender.putrequest("POST", "/api/v1/collections/a/documents?create=true")
        sender.putheader("content-type", HEADERS["content-type"])
        sender.putheader("content-length", "100000")
        sender.endheaders(line(1) + line(2))
        wait_until_begun(url)
    response = sender.getresponse()
    problem = json.loads(response.read())
    sender.close()
    assert response.status == 503
    assert response.getheader("retry-after")
    assert "from line 3" in problem["detail"]
    assert problem["report"]["added"] == 2


def wait_until_begun(url: str) -> None:
    """Return once the server reads a stream that makes its collection."""
    deadline = time.monotonic() + 20
    while httpx.get(f"{url}/api/v1/collections/a").status_code != 200:
        assert time.monotonic() < deadline, "the stream never began"
        time.sleep(0.05)


def test_a_stream_that_can_finish_is_finished_while_the_server_stops() -> None:
    found: list[httpx.Response] = []

    def pieces() -> Iterator[bytes]:
        for i in range(5):
            yield line(i)
            time.sleep(0.2)

    def send(url: str) -> None:
        path = f"{url}/api/v1/collections/a/documents?create=true"
        found.append(httpx.post(path, content=pieces(), headers=HEADERS, timeout=30))

    with live(fake_app(settings_of(shutdown_seconds=10))) as url:
        sender = threading.Thread(target=send, args=(url,))
        sender.start()
        wait_until_begun(url)
    sender.join(20)
    assert found[0].status_code == 200
    assert found[0].json()["added"] == 5


def test_draining_grants_half_of_the_time() -> None:
    drain = Drain()
    assert drain.seconds_left() is None
    drain.begin(10)
    first = drain.seconds_left()
    assert first is not None
    assert 4 < first <= 5
    drain.begin(100)
    assert (drain.seconds_left() or 0) <= 5
