"""`gateway model-server --reranker` as a process: TEI's client and the local reranker agree over it."""

from collections.abc import Generator
from contextlib import aclosing
from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

from gateway.rerankers.local import LocalReranker
from gateway.rerankers.tei import TEIReranker
from tests.support.model_server import ModelServer
from tests.support.tiny_cross import build_tiny_cross_encoder

pytestmark = pytest.mark.anyio

QUERY = "Which planet is red?"
TEXTS = ["Mars is the red planet.", "The stock market fell.", "a", "Марс 🔴", "word " * 400] * 9
MODEL = "tiny/reranker"


@pytest.mark.parametrize("raw", [False, True])
async def test_the_client_and_this_process_agree_over_a_server_that_fails_now_and_then(
    server: ModelServer, folder: Path, raw: bool
) -> None:
    served = await TEIReranker.connect([server.url], model=MODEL, raw=raw)
    local = await LocalReranker.load(str(folder), raw=raw)
    async with aclosing(served), aclosing(local):
        wanted = await local.rerank(QUERY, TEXTS)
        for _ in range(5):
            assert await served.rerank(QUERY, TEXTS) == pytest.approx(wanted, abs=1e-4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_cross_encoder(tmp_path_factory.mktemp("cross") / "tiny-cross-encoder")


@pytest.fixture(scope="module")
def server(folder: Path) -> Generator[ModelServer, None, None]:
    arguments = ["--reranker", str(folder), "--device", "cpu", "--model-id-as", MODEL]
    faults = ["--faults", "429@/rerank:0.1,reset@/rerank:0.1", "--seed", "3"]
    with ModelServer(*arguments, *faults, "--max-client-batch-size", "8") as running:
        yield running
