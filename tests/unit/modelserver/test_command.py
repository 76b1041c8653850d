"""`gateway model-server` as a process: options, faults, a clean stop, a kill and a return."""

import subprocess
import sys
import threading
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import httpx
import pytest

from tests.support.model_server import ModelServer

EMBED = {"inputs": ["one", "two"]}


def test_a_server_without_a_checkpoint_loads_neither_torch_nor_litestar() -> None:
    code = "import sys, gateway.modelserver.opening; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "sentence_transformers", "litestar"}.isdisjoint(done.stdout.split())


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "model-server", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_it_serves_the_tiny_checkpoint_within_fifteen_seconds_of_computing(
    tiny_gemma: Path,
) -> None:
    """Processor time and not the clock: a loaded machine gives less of it."""
    before = getrusage(RUSAGE_CHILDREN)
    with ModelServer("--model", str(tiny_gemma), "--device", "cpu", "--contract", "1.8") as server:
        told = httpx.get(server.url + "/info").json()
        assert (told["version"], told["model_id"]) == ("1.8.3", str(tiny_gemma))
        assert told["auto_truncate"] is False
        assert httpx.post(server.url + "/embed", json=EMBED).status_code == 200
        assert server.stop() == 0
    after = getrusage(RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 15


def test_a_stop_lets_the_work_in_flight_finish() -> None:
    with ModelServer("--encoder", "fake", "--latency", "1") as server:
        answers: list[httpx.Response] = []
        asked = threading.Thread(
            target=lambda: answers.append(httpx.post(server.url + "/embed", json=EMBED))
        )
        asked.start()
        wait_for_permits(server)
        assert server.stop() == 0
        asked.join()
    assert answers[0].status_code == 200


def wait_for_permits(server: ModelServer) -> None:
    """Return once a request is at work: `te_embed_count` counts it before its latency."""
    for _ in range(1_000):
        page = httpx.get(server.url + "/metrics").text
        if 'te_request_count{method="batch"} 1.0' in page:
            return
    raise AssertionError("the request never arrived")


def test_a_killed_server_comes_back_on_its_port() -> None:
    with ModelServer("--encoder", "fake", "--model-id-as", "google/embeddinggemma-300m") as server:
        first = httpx.post(server.url + "/embed", json=EMBED).json()
        server.kill()
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url + "/health")
        server.start()
        assert httpx.post(server.url + "/embed", json=EMBED).json() == first
        told = httpx.get(server.url + "/info").json()
        assert told["model_id"] == "google/embeddinggemma-300m"


def test_faults_are_set_shown_and_healed_by_the_control_route_under_the_key() -> None:
    key = {"authorization": "Bearer key"}
    with ModelServer("--encoder", "fake", "--fault-control", "--api-key", "key") as server:
        url = server.url + "/_faults"
        assert httpx.get(url).status_code == 401
        asked = {"faults": "429*2,reset@/embed*1", "seed": 3}
        set_ = httpx.post(url, json=asked, headers=key).json()
        assert (set_["seed"], [fault["kind"] for fault in set_["faults"]]) == (
            3,
            ["overloaded", "reset"],
        )
        statuses = [
            httpx.post(server.url + "/v1/embeddings", json={"input": "a"}, headers=key).status_code
            for _ in range(3)
        ]
        assert statuses == [429, 429, 200]
        with pytest.raises(httpx.ReadError):
            httpx.post(server.url + "/embed", json=EMBED, headers=key)
        shown = httpx.get(url, headers=key).json()
        assert shown["played"] == {"overloaded": 2, "reset": 1}
        assert shown["counters"]["inputs_computed"] == 1
        httpx.post(url, json={"faults": "503"}, headers=key)
        assert httpx.delete(url, headers=key).json()["faults"] == []
        wrong = httpx.post(url, json={"faults": "no-dense"}, headers=key)
        assert (wrong.status_code, "Dense" in wrong.text) == (422, True)
        assert server.stop() == 0


def test_without_the_flag_there_is_no_control_route() -> None:
    with ModelServer("--encoder", "fake", "--faults", "429:1") as server:
        assert httpx.get(server.url + "/_faults").status_code == 404
        assert httpx.post(server.url + "/embed", json=EMBED).status_code == 429


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "x", "--dtype", "float16"), "overflow half precision"),
        ((), "--encoder local needs --model"),
        (("--encoder", "fake", "--faults", "oops"), "fault 'oops' cannot be read"),
        (("--encoder", "fake", "--faults", "no-dense"), "needs a checkpoint with Dense"),
        (("--encoder", "fake", "--faults", "fine-tune"), "'fine-tune' needs a checkpoint; this"),
        (("--encoder", "fake", "--host", "192.0.2.1"), "cannot listen on 192.0.2.1:8080"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(arguments: tuple[str, ...], told: str) -> None:
    done = refused(*arguments)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
