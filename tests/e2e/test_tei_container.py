"""Our TEI code against real TEI servers, and the stub's contract against theirs.

Needs Docker and a way to the model hub for a small ungated model (about 100 MB, kept in a volume).
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass

import httpx
import numpy as np
import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import HttpWaitStrategy

from gateway.embedding.catalog import ALL_MINILM_L6_V2
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.encoders.tei import Expectation, Limits, TEIEncoder, Wiring
from gateway.errors import InputTooLong, UnsupportedServer
from tests.support.tei_stub import TEIStub

pytestmark = [pytest.mark.docker, pytest.mark.anyio]

IMAGE = "ghcr.io/huggingface/text-embeddings-inference"
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
EXPECT = Expectation((MODEL,), 384, 256, ("float32",))
PATIENT = Wiring(Limits(timeout_seconds=120.0, read_timeout_seconds=120.0))
START_SECONDS = 900
QUERY = "Which planet is known as the Red Planet?"
PASSAGES = (
    "Venus is often called Earth's twin because of its similar size and proximity.",
    "Mars, known for its reddish appearance, is often referred to as the Red Planet.",
    "The recipe asks for two eggs and a cup of flour.",
)


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    version: str


@pytest.fixture(
    scope="module",
    params=[("1.9.3", ("--auto-truncate", "false")), ("1.9.3", ()), ("1.8.3", ())],
    ids=["1.9.3", "1.9.3-truncating", "1.8.3"],
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    version, flags = request.param
    command = ["--model-id", MODEL, "--dtype", "float32", "--max-client-batch-size", "16", *flags]
    container = (
        DockerContainer(f"{IMAGE}:cpu-{version}")
        .with_command([*command, "--json-output"])
        .with_exposed_ports(80)
        .with_volume_mapping("tei-rag-gateway-test-models", "/data", "rw")
        .waiting_for(HttpWaitStrategy(80, "/health").with_startup_timeout(START_SECONDS))
    )
    with container:
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(80)}"
        yield Server(url, version)


@pytest.fixture
async def encoder(server: Server) -> AsyncGenerator[TEIEncoder]:
    opened = await TEIEncoder.connect([server.url], expect=EXPECT, wiring=PATIENT)
    yield opened
    await opened.aclose()


async def test_a_real_server_is_verified_and_healthy(server: Server, encoder: TEIEncoder) -> None:
    assert dict(encoder.info.details)["versions"] == server.version
    assert (await encoder.health()).ok


async def test_another_model_is_refused(server: Server) -> None:
    expect = Expectation(("google/embeddinggemma-300m",), 768, 2048, ("float32",))
    with pytest.raises(UnsupportedServer, match="all-MiniLM-L6-v2"):
        await TEIEncoder.connect([server.url], expect=expect)


async def test_a_long_list_is_split_and_keeps_its_order(encoder: TEIEncoder) -> None:
    texts = [f"sentence number {index} about {index * index} apples" for index in range(50)]
    together = (await encoder.encode(texts)).vectors
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-3)
    for place in (0, 17, 49):
        alone = (await encoder.encode([texts[place]])).vectors[0]
        assert int(np.argmax(together @ alone)) == place
        assert float(together[place] @ alone) > 0.999


async def test_what_belongs_together_is_near(encoder: TEIEncoder) -> None:
    embedder = Embedder(ALL_MINILM_L6_V2, encoder)
    query = await embedder.embed_one(Task.QUERY, QUERY)
    passages = await embedder.embed(Task.DOCUMENT, [Input(text) for text in PASSAGES])
    scores = passages.vectors @ query.vectors[0]
    assert list(np.argsort(-scores)) == [1, 0, 2]


async def test_an_over_long_text_is_refused_by_its_index(encoder: TEIEncoder) -> None:
    with pytest.raises(InputTooLong) as caught:
        await encoder.encode(["short", "short too", "word " * 300, "short"])
    assert caught.value.index == 2


async def test_tokens_are_counted_as_they_are_read(encoder: TEIEncoder) -> None:
    texts = [QUERY, *PASSAGES, "Ünïcode — 你好 🙂"]
    counts = await encoder.count_tokens(texts)
    assert sum(counts) == (await encoder.encode(texts)).tokens
    count = encoder.token_counter()
    assert await asyncio.to_thread(count, QUERY) == counts[0]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"inputs": ["a"] * 17}),
        ("/v1/embeddings", {"input": ["a"] * 17}),
        ("/embed", {"inputs": ["word " * 300], "truncate": False}),
        ("/embed", {"inputs": ["a", ""]}),
        ("/v1/embeddings", {"input": ""}),
        ("/embed", {"inputs": {"a": 1}}),
        ("/nowhere", {}),
    ],
)
def test_the_stub_refuses_as_the_server_does(
    server: Server, path: str, body: dict[str, object]
) -> None:
    with TEIStub(server.version, max_client_batch_size=16, max_input_length=256) as stub:
        mine = httpx.post(stub.url + path, json=body)
        real = httpx.post(server.url + path, json=body)
    assert mine.status_code == real.status_code
    assert (
        mine.headers.get("content-type", "").partition(";")[0]
        == real.headers.get("content-type", "").partition(";")[0]
    )
    if "json" in real.headers.get("content-type", ""):
        assert mine.json() == real.json()
