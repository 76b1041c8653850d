"""Which profile is compared, what a refusal of our own clients means, and patience with a full server."""

import json
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.errors import (
    ConfigurationError,
    DegenerateVector,
    GatewayError,
    InputTooLong,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamUnavailable,
)
from gateway.parity.candidates.base import Ask
from gateway.parity.candidates.gateway import refusal
from gateway.parity.candidates.tei import TEICandidate
from gateway.parity.opening import (
    compared_profile,
    configured_candidate,
    run_parity,
    tei_candidate,
)
from gateway.settings import Settings, load_settings
from tests.support.openai_stub import OpenAIStub, words
from tests.support.parity import made_up_truth
from tests.support.profile_files import write_profile
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

PROFILE = replace(EMBEDDING_GEMMA_300M, name="made-up", sizes=(64, 32), default_size=64, goldens=())
TRUTH = made_up_truth(PROFILE)


def settings_of(**environ: str) -> Settings:
    return load_settings(environ=environ)


@pytest.mark.parametrize(
    ("elsewhere", "environ", "name"),
    [
        (True, {}, "embeddinggemma-300m"),
        (False, {}, "all-minilm-l6-v2"),
        (False, {"GATEWAY_TEI__URLS": "http://tei"}, "embeddinggemma-300m"),
        (True, {"GATEWAY_PROFILE": "all-minilm-l6-v2"}, "all-minilm-l6-v2"),
    ],
)
def test_the_profile_is_the_one_set_else_that_of_what_is_compared(
    elsewhere: bool, environ: dict[str, str], name: str
) -> None:
    assert compared_profile(settings_of(**environ), elsewhere=elsewhere).name == name


async def test_a_server_that_our_own_client_refuses_is_not_in_parity(tmp_path: Path) -> None:
    words().save(str(tmp_path / "tokenizer.json"))
    write_profile(PROFILE, tmp_path / "profiles.toml")
    with OpenAIStub(prompt="hidden words ") as stub:
        settings = settings_of(
            GATEWAY_OPENAI__URL=stub.url,
            GATEWAY_OPENAI__TOKENIZER=str(tmp_path / "tokenizer.json"),
            GATEWAY_PROFILES_FILE=str(tmp_path / "profiles.toml"),
            GATEWAY_PROFILE=PROFILE.name,
        )
        report = await run_parity([configured_candidate(settings)], TRUTH, PROFILE)

    (found,) = report.comparisons
    assert [layer.layer for layer in found.failed] == ["answers"]
    assert "prompt" in found.layers[0].failures[0]
    assert found.about.where == stub.url


async def test_a_server_that_is_away_is_an_error() -> None:
    with pytest.raises(UpstreamUnavailable):
        await run_parity([tei_candidate("http://127.0.0.1:9")], TRUTH, PROFILE)


async def test_a_full_server_is_asked_again() -> None:
    with TEIStub("1.9.3") as stub:
        async with aclosing(await TEICandidate.connect(stub.url)) as candidate:
            stub.fail("overloaded", times=1)
            answered = await candidate.embed([Ask("query", "a", None, "ask: a")])

    assert answered.rows.shape == (1, 768)
    assert answered.tokens == 4


async def test_requests_hold_as_many_texts_as_the_server_takes() -> None:
    asks = [Ask("query", f"text {index}", None, f"text {index}") for index in range(5)]
    with TEIStub("1.9.3", max_client_batch_size=2) as stub:
        async with aclosing(await TEICandidate.connect(stub.url)) as candidate:
            together = await candidate.embed(asks)
            alone = [(await candidate.embed([ask])).rows[0] for ask in asks]
            ids = await candidate.token_ids([ask.rendered for ask in asks])

    assert [row.tolist() for row in together.rows] == [row.tolist() for row in alone]
    assert [len(row) for row in ids or []] == [4] * 5


@pytest.mark.parametrize(
    ("status", "slug", "error"),
    [
        (400, "input-too-long", InputTooLong),
        (502, "degenerate-vector", DegenerateVector),
        (401, "unauthorized", ConfigurationError),
        (503, "upstream-overloaded", UpstreamOverloaded),
        (503, "upstream-unavailable", UpstreamUnavailable),
        (404, "", UpstreamRejected),
    ],
)
def test_a_problem_of_a_gateway_is_read_by_its_type(
    status: int, slug: str, error: type[GatewayError]
) -> None:
    body: dict[str, Any] = {"type": f"urn:tei-rag-gateway:problem:{slug}", "detail": "it says why"}

    found = refusal("http://gateway", status, json.dumps(body).encode(), httpx.Headers())

    assert type(found) is error
    assert "it says why" in str(found)


def test_an_answer_that_is_no_problem_is_told_by_its_status() -> None:
    found = refusal("http://gateway", 404, b"<html>", httpx.Headers())

    assert "answered status 404: no reason given" in str(found)
