"""Texts over the model's limit: refused by default, cut when asked, and always told."""

from typing import Any

import numpy as np
import pytest
from litestar import Litestar
from litestar.testing import TestClient

QUERY = "embeddinggemma-300m:query"
LIMIT = 2048
PROMPT = 9
"""Tokens of the fake encoder for the query prompt, specials included."""
FITS = " ".join(["w"] * (LIMIT - PROMPT))
LONG = FITS + " x" * 60


def test_a_long_text_is_refused_with_index_tokens_and_limit(client: TestClient[Litestar]) -> None:
    body = {"task": "query", "inputs": [{"text": "a"}, {"text": LONG}]}
    native = client.post("/api/v1/embed", json=body)
    openai = client.post("/v1/embeddings", json={"model": QUERY, "input": ["a", LONG]})
    assert (native.status_code, openai.status_code) == (400, 400)
    assert native.json()["index"] == 1
    assert openai.json()["error"]["param"] == "input[1]"
    for said in (native.json()["detail"], openai.json()["error"]["message"]):
        assert f"input 1 has {LIMIT + 60} tokens" in said
        assert f"reads {LIMIT}" in said


def test_a_cut_text_is_reported_with_the_tokens_it_lost(client: TestClient[Litestar]) -> None:
    body: dict[str, Any] = {"task": "query", "inputs": [{"text": "a"}, {"text": LONG}]}
    reply = client.post("/api/v1/embed", json={**body, "truncate": True}).json()
    assert reply["truncated"] == [{"index": 1, "tokens": LIMIT, "lost": 60}]
    body["inputs"][1]["text"] = FITS
    same = client.post("/api/v1/embed", json={**body, "truncate": True}).json()
    assert same["truncated"] == []
    np.testing.assert_array_equal(reply["vectors"], same["vectors"])
    assert reply["tokens"] == same["tokens"]
    lost = 'gateway_truncated_tokens_total{task="query"} 60.0'
    assert lost in client.get("/metrics").text


def test_openais_reply_has_one_field_more_only_where_a_text_was_cut(
    client: TestClient[Litestar],
) -> None:
    call = {"model": QUERY, "truncate": True, "encoding_format": "base64"}
    cut = client.post("/v1/embeddings", json={**call, "input": ["a", LONG]}).json()
    whole = client.post("/v1/embeddings", json={**call, "input": ["a", FITS]}).json()
    assert cut["truncated"] == [{"index": 1, "tokens": LIMIT, "lost": 60}]
    assert set(whole) == {"object", "data", "model", "usage"}
    assert {**whole, "truncated": cut["truncated"]} == cut


def test_a_long_query_is_refused_or_cut_with_a_warning(client: TestClient[Litestar]) -> None:
    path = "/api/v1/collections/a"
    client.put(path, json={})
    client.post(f"{path}/documents", json=[{"id": "1", "text": "w"}])
    refused = client.post(f"{path}/search", json={"query": LONG})
    assert refused.status_code == 400
    assert refused.json()["field"] == "query"
    found = client.post(f"{path}/search", json={"query": LONG, "truncate": True}).json()
    assert [hit["document_id"] for hit in found["hits"]] == ["1"]
    assert found["warnings"] == [
        f"the query was cut: the model read {LIMIT} tokens of it, 60 are lost"
    ]


@pytest.mark.parametrize("blank", [" ", "\n\t", "\u00a0\u3000"])
def test_blank_texts_are_refused_like_empty_ones(client: TestClient[Litestar], blank: str) -> None:
    client.put("/api/v1/collections/a", json={})
    native = client.post(
        "/api/v1/embed", json={"task": "query", "inputs": [{"text": "a"}, {"text": blank}]}
    )
    openai = client.post("/v1/embeddings", json={"model": QUERY, "input": ["a", blank]})
    search = client.post("/api/v1/collections/a/search", json={"query": blank})
    assert native.json()["type"] == search.json()["type"]
    assert native.json()["field"] == "inputs[1].text"
    assert openai.json()["error"]["code"] == "invalid_text"
    assert openai.json()["error"]["param"] == "input[1]"
    assert search.json()["field"] == "query"
    assert native.status_code == openai.status_code == search.status_code == 400
