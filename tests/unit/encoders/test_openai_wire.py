"""Answers of OpenAI's protocol that are right, and ones that must not become vectors."""

import base64
import json
from typing import Any

import numpy as np
import pytest

from gateway.encoders._openai_wire import decode_embeddings, decode_models, embeddings_body
from gateway.errors import UpstreamError

ROW = base64.b64encode(np.array([1, 2], "<f4").tobytes()).decode()


def answer(*items: Any, **more: Any) -> bytes:
    return json.dumps({"data": items, **more}).encode()


def item(index: int, embedding: object = ROW) -> dict[str, object]:
    return {"object": "embedding", "index": index, "embedding": embedding}


def test_a_request_asks_for_base64_and_keeps_the_texts() -> None:
    body = json.loads(embeddings_body(['"é\\n"'.encode(), b'"b"'], 'a "model"'))
    assert body == {"model": 'a "model"', "encoding_format": "base64", "input": ["é\n", "b"]}


def test_rows_come_in_the_order_of_their_indexes_whatever_their_form() -> None:
    rows, tokens = decode_embeddings(
        answer(item(1, [3.0, None]), item(0), usage={"prompt_tokens": 7, "total_tokens": 7}), 2
    )
    assert rows.dtype == np.float32
    assert rows[0].tolist() == [1, 2]
    assert rows[1, 0] == 3
    assert np.isnan(rows[1, 1])
    assert tokens == 7


@pytest.mark.parametrize(
    "more", [{}, {"usage": None}, {"usage": {}}, {"usage": {"prompt_tokens": 0}}]
)
def test_a_server_need_not_count_tokens(more: dict[str, Any]) -> None:
    assert decode_embeddings(answer(item(0), **more), 1)[1] is None


@pytest.mark.parametrize(
    "body",
    [
        answer(item(0)),
        answer(item(0), item(0)),
        answer(item(1), item(2)),
        answer(item(0), item(1), item(2)),
        answer(item(0), item(1, [1.0])),
        answer(item(0, []), item(1, [])),
        answer(item(0, ""), item(1, "")),
        answer(item(0, "AAAA"), item(1, "AAAA")),
        answer(item(0, "no base64!"), item(1)),
        answer(item(0), item(1, "é")),
        b"{}",
        b"<html>",
        b"",
    ],
)
def test_other_answers_are_refused(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        decode_embeddings(body, 2)
    assert caught.value.service == "openai"


def test_models_are_named_by_their_ids() -> None:
    assert decode_models(answer({"id": "a", "object": "model"}, {"id": "b"})) == ["a", "b"]
    with pytest.raises(UpstreamError, match="/v1/models"):
        decode_models(b'{"models": []}')
