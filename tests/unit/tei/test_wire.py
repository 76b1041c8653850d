"""What TEI's bodies and refusals mean."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from gateway.errors import (
    ConfigurationError,
    GatewayError,
    InputTooLong,
    InvalidText,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamUnavailable,
)
from gateway.modelserver.contract import Contract, ErrorType
from gateway.modelserver.spoiling import REFUSALS
from gateway.tei.refusals import (
    BY_TYPE,
    BackendFailed,
    BrokenAnswer,
    InputRejected,
    TooMuchAtOnce,
    refusal,
)
from gateway.tei.wire import (
    Token,
    decode_info,
    decode_native,
    decode_openai,
    decode_tokens,
    text_json,
)

JSON = {"content-type": "application/json"}
TEXT = {"content-type": "text/plain; charset=utf-8"}
ERROR_TYPES = ("Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty")
TOO_LONG = "Input validation error: `inputs` must have less than 2048 tokens. Given: 3000"


def coded(*rows: Any) -> bytes:
    data = [
        {"embedding": base64.b64encode(np.asarray(row, "<f4").tobytes()).decode(), "index": index}
        for index, row in rows
    ]
    return json.dumps({"data": data, "usage": {"prompt_tokens": 5}}).encode()


def test_every_error_type_of_the_server_has_a_meaning() -> None:
    assert sorted(BY_TYPE) == sorted(ERROR_TYPES)
    assert {refusal.error_type for refusal in REFUSALS.values()} <= set(BY_TYPE)


@pytest.mark.parametrize("version", ["1.8.1", "1.8.3", "1.9.3"])
@pytest.mark.parametrize("openai", [True, False])
@pytest.mark.parametrize(
    ("error_type", "text", "expected"),
    [
        ("Unhealthy", "unhealthy", UpstreamUnavailable),
        ("Backend", "Backend error: x", BackendFailed),
        ("Overloaded", "Model is overloaded", UpstreamOverloaded),
        ("Validation", TOO_LONG, InputTooLong),
        ("Validation", TOO_LONG.replace("tokens", "characters"), InputTooLong),
        ("Validation", "batch size 33 > maximum allowed batch size 32", TooMuchAtOnce),
        ("Validation", "unknown prompt", InputRejected),
        ("Tokenizer", "tokenizer error x", InvalidText),
        ("Empty", "Input validation error: `inputs` cannot be empty", InvalidText),
    ],
)
def test_a_typed_refusal_means_the_same_in_every_version(
    version: str, openai: bool, error_type: ErrorType, text: str, expected: type[GatewayError]
) -> None:
    status = Contract(version=version).status(error_type)
    body = (
        {"message": text, "code": status, "type": error_type}
        if openai
        else {"error": text, "error_type": error_type}
    )
    error = refusal("http://tei", status, json.dumps(body).encode(), JSON)
    assert type(error) is expected
    assert text in str(error)
    assert "http://tei" in str(error)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, ConfigurationError),
        (404, UpstreamRejected),
        (413, TooMuchAtOnce),
        (400, InputRejected),
        (422, InputRejected),
        (424, BackendFailed),
        (429, UpstreamOverloaded),
        (500, UpstreamUnavailable),
        (502, UpstreamUnavailable),
        (504, UpstreamUnavailable),
    ],
)
def test_an_untyped_refusal_is_read_by_its_status(
    status: int, expected: type[GatewayError]
) -> None:
    assert type(refusal("http://tei", status, b"<html>", TEXT)) is expected
    assert type(refusal("http://tei", status, b"not json", JSON)) is expected
    assert type(refusal("http://tei", status, b"{}", JSON)) is expected


def test_a_proxys_advice_when_to_return_is_passed_on() -> None:
    error = refusal("http://tei", 429, b"", {"retry-after": "7"})
    assert isinstance(error, UpstreamOverloaded)
    assert (error.retry_after_seconds, error.asked_to_wait) == (7.0, True)
    past = refusal("http://tei", 503, b"", {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert isinstance(past, UpstreamUnavailable)
    assert (past.retry_after_seconds, past.asked_to_wait) == (0.0, True)
    unread = refusal("http://tei", 503, b"", {"retry-after": "soon"})
    assert isinstance(unread, UpstreamUnavailable)
    assert not unread.asked_to_wait


def test_base64_is_read_bit_for_bit_in_the_order_of_the_inputs() -> None:
    odd = np.array([[1e-40, -0.0, np.nan], [3.4e38, np.inf, 1 / 3]], np.float32)
    rows, tokens = decode_openai(coded((1, odd[1]), (0, odd[0])), 2)
    assert rows.dtype == np.float32
    assert rows.tobytes() == odd.tobytes()
    assert tokens == 5
    rows[0, 0] = 1.0  # the caller owns the memory


@pytest.mark.parametrize("size", [1, 2, 3, 5, 384, 767, 768])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_base64_of_any_size_is_read_with_and_without_padding(size: int, count: int) -> None:
    made = np.random.default_rng(size).standard_normal((count, size)).astype(np.float32)
    rows, _ = decode_openai(coded(*enumerate(made)), count)
    assert rows.tobytes() == made.tobytes()


@pytest.mark.parametrize(
    "text", ["AAAAAAAA", "AAAA", "AAA", "AAAA*AAA", "AAAAAA==AAAAAA==", "AA=="]
)
def test_base64_that_is_no_vector_is_refused(text: str) -> None:
    data = [{"embedding": text, "index": index} for index in range(2)]
    body = json.dumps({"data": data, "usage": {"prompt_tokens": 1}}).encode()
    with pytest.raises(BrokenAnswer):
        decode_openai(body, 2)


@pytest.mark.parametrize(
    "body",
    [
        coded((0, [1.0])),
        coded((0, [1.0]), (0, [1.0])),
        coded((0, [1.0]), (2, [1.0])),
        coded((0, [1.0]), (1, [1.0]), (2, [1.0])),
        coded((0, [1.0]), (1, [1.0, 2.0])),
        coded((0, []), (1, [])),
        b'{"data": [], "usage": {"prompt_tokens": 1}}',
        b'{"data": [{"embedding": "!", "index": 0}, {"embedding": "AAAAAA==", "index": 1}],'
        b' "usage": {"prompt_tokens": 1}}',
        b'{"data": [{"embedding": [1.0], "index": 0}]}',
        b"<html>",
        b"",
    ],
)
def test_an_answer_that_is_not_two_vectors_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        decode_openai(body, 2)


def test_null_components_become_nan() -> None:
    rows, tokens = decode_native(b"[[null, 1.5], [2, 3]]", 2, {"x-compute-tokens": "9"})
    assert np.isnan(rows[0, 0])
    assert rows[1].tolist() == [2.0, 3.0]
    assert tokens == 9


@pytest.mark.parametrize("body", [b"[]", b"[[]]", b"[[1.0],[1.0]]", b"{}"])
def test_a_native_answer_that_is_not_one_vector_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        decode_native(body, 1, {})


def test_a_token_list_of_another_length_is_refused() -> None:
    body = b'[[{"id":2,"text":"<bos>","special":true,"start":null,"stop":null},'
    body += b'{"id":4,"text":"x","special":false,"start":0,"stop":1}]]'
    assert decode_tokens(body, 1) == [[Token(2), Token(4, 0, 1)]]
    with pytest.raises(UpstreamError):
        decode_tokens(b"[[]]", 2)


def test_info_of_old_and_new_servers_is_read() -> None:
    for version in ("1.8.1", "1.9.3"):
        info = decode_info(json.dumps(Contract(version=version).info()).encode())
        assert (info.version, info.embeds) == (version, True)
    reranker = Contract(model_type={"reranker": {"id2label": {}}}).info()
    assert not decode_info(json.dumps(reranker).encode()).embeds
    with pytest.raises(UpstreamError, match="/info"):
        decode_info(b'{"status": "ok"}')


def test_a_lone_surrogate_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidText) as caught:
        text_json("ab\ud800", 3)
    assert caught.value.index == 3
