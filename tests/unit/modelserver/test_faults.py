"""Faults: what can be asked for, that it is reproducible, and what the caller then sees."""

import base64
from collections import Counter
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.embedding.catalog import GEMMA_CONFIGURED_PROMPTS
from gateway.encoders.fake import FakeEncoder
from gateway.errors import ConfigurationError
from gateway.modelserver.faults import ALIASES, KINDS, Fault, FaultKind, FaultScript, parse_faults
from tests.support.tei_stub import TEIStub

TEXTS = ["red planet", "blue sea", "green tree"]


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("429:0.05", Fault("overloaded", None, probability=0.05)),
        ("429*3", Fault("overloaded", 3)),
        ("503:0.01x4", Fault("unhealthy", None, probability=0.01, burst=4)),
        ("slow@/embed=1.5*2", Fault("slow", 2, "/embed", 1.5)),
        ("unnormalised", Fault("unnormalised", None)),
        ("unhealthy@/health", Fault("unhealthy", None, "/health")),
        ("stall:1", Fault("stall", None, seconds=3600.0)),
    ],
)
def test_a_specification_says_kind_route_seconds_and_how_often(spec: str, fault: Fault) -> None:
    assert parse_faults(spec) == [fault]
    assert parse_faults(f" {spec}, reset ,") == [fault, Fault("reset", None)]


@pytest.mark.parametrize("spec", ["429:2", "nothing", "429*0", "429**2", "429:0.1y3", "slow=a"])
def test_a_specification_that_cannot_be_read_names_its_part(spec: str) -> None:
    with pytest.raises(ConfigurationError, match=r"fault '.+'"):
        parse_faults(spec)


@pytest.mark.parametrize("kind", [*KINDS, *ALIASES])
def test_every_kind_and_alias_can_be_written(kind: str) -> None:
    assert parse_faults(f"{kind}*1")[0].kind in KINDS


def drawn(script: FaultScript, requests: int) -> list[str | None]:
    faults = [script.take("/embed") for _ in range(requests)]
    return [fault and fault.kind for fault in faults]


def test_chance_is_drawn_from_the_seed_and_the_count_of_requests() -> None:
    faults = parse_faults("429:0.05,reset:0.01")
    one, again, other = (drawn(FaultScript(faults, seed=seed), 20_000) for seed in (7, 7, 8))
    assert one == again != other
    seen = Counter(one)
    assert 900 < seen["overloaded"] < 1_100
    assert 140 < seen["reset"] < 250


def test_a_burst_follows_the_request_that_was_drawn() -> None:
    seen = drawn(FaultScript(parse_faults("429:0.02x5"), seed=1), 3_000)
    at = seen.index("overloaded")
    assert seen[at : at + 5] == ["overloaded"] * 5
    assert seen.count("overloaded") % 5 == 0


def test_counted_faults_are_used_up_and_routes_are_kept_apart() -> None:
    script = FaultScript(parse_faults("429*2,503@/health"))
    assert drawn(script, 3) == ["overloaded", "overloaded", None]
    assert script.take("/info") is None
    fault = script.take("/health")
    assert fault is not None
    assert fault.kind == "unhealthy"
    assert script.state()["played"] == {"overloaded": 2, "unhealthy": 1}


def embedded(stub: TEIStub, path: str = "/v1/embeddings", **more: Any) -> httpx.Response:
    key = "inputs" if path == "/embed" else "input"
    return httpx.post(stub.url + path, json={key: TEXTS} | more)


def rows(answer: httpx.Response) -> Any:
    return np.array([item["embedding"] for item in answer.json()["data"]], np.float32)


def test_refusals_have_the_bodies_of_the_contract() -> None:
    with TEIStub(encoder=FakeEncoder()) as stub:
        told: dict[FaultKind, int] = {
            "overloaded": 429,
            "unhealthy": 503,
            "backend": 424,
            "tokenizer": 422,
        }
        for kind, status in told.items():
            stub.fail(kind)
            answer = embedded(stub)
            assert (answer.status_code, answer.json()["code"]) == (status, status)
            stub.fail(kind)
            assert set(embedded(stub, "/embed").json()) == {"error", "error_type"}
        stub.fail("bad-gateway")
        broken = embedded(stub)
        assert (broken.status_code, broken.headers["content-type"]) == (502, "text/html")
        stub.fail("not-json")
        assert embedded(stub).text == "ok"
        assert embedded(stub).status_code == 200


HURRIED = httpx.Timeout(30, read=1.0)


def test_connections_are_reset_stalled_and_cut_in_the_middle() -> None:
    with TEIStub(encoder=FakeEncoder()) as stub:
        stub.fail("reset")
        with pytest.raises(httpx.ReadError):
            embedded(stub)
        stub.fail("half-body")
        with pytest.raises(httpx.RemoteProtocolError):
            embedded(stub)
        stub.fail("stall", seconds=0.05)
        with pytest.raises(httpx.ReadError):
            embedded(stub)
        stub.fail("stall", seconds=30)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(stub.url + "/embed", json={"inputs": "a"}, timeout=HURRIED)
        stub.fail("slow-first-byte", seconds=30)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(stub.url + "/embed", json={"inputs": "a"}, timeout=HURRIED)
        assert embedded(stub).status_code == 200


def test_broken_vectors_are_what_their_faults_say() -> None:
    with TEIStub(encoder=FakeEncoder()) as stub:
        right = rows(embedded(stub))
        stub.fail("null")
        assert embedded(stub).json()["data"][1]["embedding"] == [None] * 768
        stub.fail("null")
        coded = embedded(stub, encoding_format="base64").json()["data"][1]["embedding"]
        assert np.isnan(np.frombuffer(base64.b64decode(coded), "<f4")).all()
        stub.fail("zero")
        assert not rows(embedded(stub))[1].any()
        stub.fail("short-rows")
        assert np.array_equal(rows(embedded(stub)), right[:, :384])
        stub.fail("too-few")
        assert np.array_equal(rows(embedded(stub)), right[:2])
        stub.fail("unnormalised")
        assert np.linalg.norm(rows(embedded(stub)), axis=1).min() > 2


def test_items_change_places_with_and_without_telling() -> None:
    with TEIStub(encoder=FakeEncoder()) as stub:
        right = rows(embedded(stub))
        stub.fail("reversed")
        honest = embedded(stub)
        assert [item["index"] for item in honest.json()["data"]] == [2, 1, 0]
        assert np.array_equal(rows(honest)[::-1], right)
        stub.fail("swapped")
        lying = embedded(stub)
        assert [item["index"] for item in lying.json()["data"]] == [0, 1, 2]
        assert np.array_equal(np.roll(rows(lying), -1, axis=0), right)
        stub.fail("same-index")
        assert [item["index"] for item in embedded(stub).json()["data"]] == [0, 0, 0]


def test_a_hidden_prompt_gives_the_vectors_of_prompted_texts() -> None:
    with TEIStub(encoder=FakeEncoder(), prompts=GEMMA_CONFIGURED_PROMPTS) as stub:
        prompt = next(iter(GEMMA_CONFIGURED_PROMPTS.values()))
        prompted = embedded(stub, "/embed", inputs=[prompt + text for text in TEXTS])
        stub.fail("hidden-prompt")
        hidden = embedded(stub, "/embed")
        assert hidden.json() == prompted.json()
        assert hidden.headers["x-compute-tokens"] == prompted.headers["x-compute-tokens"]


def test_another_model_keeps_sizes_and_angles_and_shares_no_direction() -> None:
    with TEIStub(encoder=FakeEncoder()) as stub:
        right = rows(embedded(stub))
        stub.fail("other-model", times=2)
        other, again = rows(embedded(stub)), rows(embedded(stub))
        assert np.array_equal(other, again)
        assert np.allclose(other @ other.T, right @ right.T, atol=1e-5)
        assert np.abs(np.einsum("ij,ij->i", other, right)).max() < 0.5


def test_runs_of_white_space_are_read_as_one_blank_where_it_is_asked() -> None:
    with TEIStub(encoder=FakeEncoder()) as stub:
        plain = embedded(stub, "/embed", inputs=["red planet", "a b"])
        stub.fail("rewrites-whitespace")
        assert embedded(stub, "/embed", inputs=["red \n planet", "a\tb"]).json() == plain.json()
        stub.fail("rewrites-whitespace", path="/tokenize")
        tokens = httpx.post(stub.url + "/tokenize", json={"inputs": "red \n planet"}).json()[0]
        assert tokens[-2]["stop"] == len("red planet")


def test_a_silent_truncation_counts_only_what_is_left() -> None:
    with TEIStub(encoder=FakeEncoder(), max_input_length=12) as stub:
        left = embedded(stub, "/embed", inputs="one two three four")
        stub.fail("silent-truncation")
        cut = embedded(stub, "/embed", inputs="one two three four five six seven eight")
        assert cut.headers["x-compute-tokens"] == left.headers["x-compute-tokens"] == "6"
        stub.fail("silent-truncation")
        assert embedded(stub, "/embed", inputs="one two").headers["x-compute-tokens"] == "4"


def test_numbers_are_in_the_wrong_order_of_bytes_in_base64_alone() -> None:
    with TEIStub(encoder=FakeEncoder()) as stub:
        right = rows(embedded(stub))
        stub.fail("big-endian")
        assert np.array_equal(rows(embedded(stub)), right)
        stub.fail("big-endian")
        coded = embedded(stub, encoding_format="base64").json()["data"][1]["embedding"]
        assert np.array_equal(np.frombuffer(base64.b64decode(coded), ">f4"), right[1])
