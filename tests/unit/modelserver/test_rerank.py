"""`/rerank` over a cross-encoder, against sentence-transformers' own scores."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.modelserver.opening import Options, open_app

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

import torch
from sentence_transformers import CrossEncoder

from tests.support.tiny_cross import build_tiny_cross_encoder

pytestmark = pytest.mark.anyio

QUERY = "Which planet is red?"
TEXTS = ["Mars is the red planet.", "The stock market fell.", "Venus is Earth's twin.", "a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_cross_encoder(tmp_path_factory.mktemp("cross") / "tiny-cross-encoder")


@pytest.fixture(scope="module")
async def client(folder: Path, anyio_backend: str) -> AsyncGenerator[httpx.AsyncClient, None]:
    options = Options(encoder="fake", reranker=str(folder), max_client_batch_size=4)
    async with open_app(options) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tei") as opened:
            yield opened


@pytest.fixture(scope="module")
def logits(folder: Path) -> Any:
    model: Any = CrossEncoder(str(folder), device="cpu")
    return model.predict([(QUERY, text) for text in TEXTS], activation_fn=torch.nn.Identity())


async def test_texts_are_ranked_by_the_sigmoid_of_their_scores(
    client: httpx.AsyncClient, logits: Any
) -> None:
    answer = await client.post("/rerank", json={"query": QUERY, "texts": TEXTS})
    ranks = answer.json()

    assert [rank["index"] for rank in ranks] == np.argsort(-logits).tolist()
    assert all(set(rank) == {"index", "score"} for rank in ranks)
    expected = 1 / (1 + np.exp(-logits))
    assert all(abs(rank["score"] - expected[rank["index"]]) < 1e-5 for rank in ranks)
    assert answer.headers["x-compute-characters"] == str(
        len(QUERY) * len(TEXTS) + sum(map(len, TEXTS))
    )


async def test_raw_scores_and_texts_come_when_they_are_asked_for(
    client: httpx.AsyncClient, logits: Any
) -> None:
    asked = {"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True}
    for rank in (await client.post("/rerank", json=asked)).json():
        assert rank["text"] == TEXTS[rank["index"]]
        assert abs(rank["score"] - logits[rank["index"]]) < 1e-4


async def test_long_pairs_are_cut_or_refused(client: httpx.AsyncClient) -> None:
    asked = {"query": QUERY, "texts": ["word " * 100]}
    cut = await client.post("/rerank", json=asked)
    refused = await client.post("/rerank", json=asked | {"truncate": False})

    assert cut.headers["x-compute-tokens"] == "64"
    assert refused.status_code == 422
    assert "must have less than 64 tokens" in refused.json()["error"]


async def test_more_texts_than_a_request_may_hold_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/rerank", json={"query": QUERY, "texts": ["a"] * 5})
    assert answer.status_code == 422
    assert answer.json()["error"] == "batch size 5 > maximum allowed batch size 4"


async def test_vertex_tells_a_rerank_instance_from_an_embed_instance(
    client: httpx.AsyncClient,
) -> None:
    ranked = {"query": QUERY, "texts": TEXTS}
    asked = {"instances": [ranked, {"inputs": "a"}]}
    first, second = (await client.post("/vertex", json=asked)).json()["predictions"]

    assert first == (await client.post("/rerank", json=ranked)).json()
    assert len(second[0]) == 768


@pytest.fixture(scope="module")
async def alone(folder: Path, anyio_backend: str) -> AsyncGenerator[httpx.AsyncClient, None]:
    """Without an encoder, as TEI serves a reranker."""
    options = Options(reranker=str(folder), device="cpu", max_concurrent_requests=8)
    async with open_app(options) as app:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tei") as opened:
            yield opened


async def test_a_reranker_alone_says_what_it_is(alone: httpx.AsyncClient, folder: Path) -> None:
    told = (await alone.get("/info")).json()
    assert list(told["model_type"]) == ["reranker"]
    assert set(told["model_type"]["reranker"]) == {"id2label", "label2id"}
    assert (told["model_id"], told["model_dtype"]) == (str(folder), "float32")
    assert told["max_input_length"] == 64
    assert (await alone.get("/health")).status_code == 200


async def test_a_reranker_alone_ranks_and_tokenises(alone: httpx.AsyncClient, logits: Any) -> None:
    ranks = (await alone.post("/rerank", json={"query": QUERY, "texts": TEXTS})).json()
    assert [rank["index"] for rank in ranks] == np.argsort(-logits).tolist()
    tokens = (await alone.post("/tokenize", json={"inputs": "mars"})).json()[0]
    assert (tokens[0]["text"], tokens[-1]["text"]) == ("[CLS]", "[SEP]")


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/embed", {"inputs": "a"}, "Backend error: Model is not an embedding model"),
        ("/embed", {"inputs": ""}, "Backend error: Model is not an embedding model"),
        ("/v1/embeddings", {"input": "a"}, "Backend error: Model is not an embedding model"),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"]}}, "embedding"),
        ("/embed_all", {"inputs": "a"}, "not available"),
        ("/predict", {"inputs": "a"}, "Backend error: Model is not a classifier model"),
    ],
)
async def test_a_reranker_alone_refuses_the_rest(
    alone: httpx.AsyncClient, path: str, body: dict[str, Any], told: str
) -> None:
    answer = await alone.post(path, json=body)
    error = answer.json()
    assert answer.status_code == 424
    assert told in error.get("error", error.get("message"))
    assert error.get("error_type", error.get("type")) == "Backend"


async def test_texts_over_the_permits_are_refused(alone: httpx.AsyncClient) -> None:
    answer = await alone.post("/rerank", json={"query": QUERY, "texts": ["a"] * 9})
    assert (answer.status_code, answer.json()["error_type"]) == (429, "Overloaded")


async def test_no_texts_and_nothing_at_all_are_empty(alone: httpx.AsyncClient) -> None:
    for query, texts in ((QUERY, []), ("", [""])):
        answer = await alone.post("/rerank", json={"query": query, "texts": texts})
        assert (answer.status_code, answer.json()["error_type"]) == (400, "Empty")
