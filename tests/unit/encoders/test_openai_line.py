"""What the refusals of servers of OpenAI's protocol mean, and what of their words is told on."""

import json
from typing import Any

import pytest

from gateway.encoders._openai_line import TOLD_CHARACTERS, refusal
from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UnsupportedServer,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamQuota,
    UpstreamRejected,
    UpstreamUnavailable,
)
from gateway.tei.refusals import BackendFailed, InputRejected, TooMuchAtOnce

WHERE = "http://models:8080"
JSON = {"content-type": "application/json; charset=utf-8"}
TOO_LARGE = "input (512 tokens) is too large to process. increase the physical batch size"
SPENT = {"message": "You exceeded your current quota.", "type": "insufficient_quota", "param": None}


def refused(status: int, body: Any = None, **headers: str) -> GatewayError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(WHERE, status, content, JSON | more)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, UpstreamRejected),
        (400, InputRejected),
        (401, ConfigurationError),
        (403, ConfigurationError),
        (404, UpstreamRejected),
        (405, UpstreamRejected),
        (413, TooMuchAtOnce),
        (422, InputRejected),
        (424, BackendFailed),
        (429, UpstreamOverloaded),
        (500, BackendFailed),
        (501, UnsupportedServer),
        (502, UpstreamUnavailable),
        (503, UpstreamUnavailable),
        (504, UpstreamUnavailable),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff\xfe", b"[]", {}, {"error": {}}, {"error": 1}]
)
def test_the_status_decides_and_this_server_is_named_as_what_it_is(
    status: int, expected: type[GatewayError], body: Any
) -> None:
    error = refused(status, body)
    assert type(error) is expected
    assert f"the embedding server at {WHERE} answered status {status}:" in f"{error}:"
    assert "TEI" not in str(error)
    if isinstance(error, UpstreamError):
        assert error.service == "openai"


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 500, "message": TOO_LARGE, "type": "server_error"}},
        {"error": {"code": None, "message": TOO_LARGE, "type": None, "param": "input"}},
        {"object": "error", "message": TOO_LARGE, "type": "BadRequestError", "code": 400},
        {"message": TOO_LARGE, "code": 413, "type": "Validation"},
        {"error": TOO_LARGE},
        {"detail": TOO_LARGE},
    ],
    ids=["llama.cpp", "OpenAI", "vLLM", "another gateway", "Ollama", "FastAPI"],
)
def test_the_servers_own_words_are_told_on_in_every_form(body: dict[str, Any]) -> None:
    for status in (400, 404, 413, 429, 500, 501, 503):
        assert f'answered status {status} ("{TOO_LARGE}")' in str(refused(status, body))


def test_words_of_a_server_stay_on_one_line_of_bounded_length() -> None:
    error = refused(400, {"error": {"message": "a\n\x1b[31mb\u202ec\x00 " + "d" * 9000}})
    assert '("a [31mb c ddd' in str(error)
    assert len(str(error)) < TOLD_CHARACTERS + 100
    assert str(error).isprintable()


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"loc": ["body", "model"], "msg": "required", "input": {"input": ["secret"]}}]},
        {"error": {"message": "[{'type': 'missing', 'input': {'input': ['secret']}}]"}},
        {"error": {"message": '[{"type": "missing", "input": ["secret"]}]'}},
        {"error": {"message": "Field required [type=missing, input_value={'a': 'secret'}]"}},
        {"error": {"message": "invalid literal; last read: '\"secret'"}},
    ],
)
def test_a_validator_that_repeats_the_texts_is_cut_short(body: dict[str, Any]) -> None:
    assert "secret" not in str(refused(400, body))


def test_what_a_server_says_of_a_key_is_not_told_on() -> None:
    for status in (401, 403):
        error = refused(status, {"error": {"message": "Incorrect API key provided: sk-secret"}})
        assert "secret" not in str(error)
        assert "openai.api_key" in str(error)


@pytest.mark.parametrize(
    "body",
    [{"error": SPENT}, {"error": SPENT | {"type": None, "code": "insufficient_quota"}}, SPENT],
)
def test_a_spent_quota_is_no_overload(body: dict[str, Any]) -> None:
    error = refused(429, body)
    assert type(error) is UpstreamQuota
    assert "You exceeded your current quota" in str(error)
    assert error.service == "openai"
    assert type(refused(500, body)) is BackendFailed


def test_a_rate_is_an_overload_that_passes() -> None:
    body = {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}
    error = refused(429, body, retry_after="20")
    assert isinstance(error, UpstreamOverloaded)
    assert (error.retry_after_seconds, error.asked_to_wait) == (20.0, True)
    unasked = refused(429, body)
    assert isinstance(unasked, UpstreamOverloaded)
    assert (unasked.retry_after_seconds, unasked.asked_to_wait) == (1.0, False)
