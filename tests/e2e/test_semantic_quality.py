"""Real documents, a real model, judged queries: the whole path, embedded and over the servers' wires.

Published nDCG@10 of the model (MTEB results): 0.6451 on scifact, 0.9436 on xquad-en, both with texts
cut at 256 tokens; here nothing is cut, long documents are split and ranked by their best chunk.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient

from gateway.bootstrap import Runtime, join, open_runtime
from gateway.embedding.catalog import ALL_MINILM_L6_V2
from gateway.embedding.embedder import Embedder
from gateway.encoders.minilm import MiniLMEncoder
from gateway.encoders.tei import Expectation, TEIEncoder
from gateway.observability.metrics import Metrics
from gateway.settings import load_settings
from gateway.vectorstores.qdrant import QdrantStore
from tests.support.beir import golden_set, ingest, ndcg_at_10
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def embedded(folder: Path) -> AsyncGenerator[Runtime, None]:
    """The defaults: the bundled model and the engine on disk."""
    async with open_runtime(load_settings({"data_dir": folder}, environ={})) as runtime:
        yield runtime


@asynccontextmanager
async def servers(_folder: Path) -> AsyncGenerator[Runtime, None]:
    """The same model behind TEI's contract over HTTP, and the adapter of the Qdrant server."""
    profile = ALL_MINILM_L6_V2
    expect = Expectation((profile.model_id,), profile.full_size, profile.max_tokens, ("float32",))
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(aclosing(await MiniLMEncoder.load()))
        stub = stack.enter_context(
            TEIStub(encoder=behind, model_id=profile.model_id, max_input_length=256)
        )
        encoder = await TEIEncoder.connect([stub.url], expect=expect)
        await stack.enter_async_context(aclosing(encoder))
        store = QdrantStore.over(AsyncQdrantClient(":memory:"))
        await stack.enter_async_context(aclosing(store))
        settings = load_settings(environ={})
        yield join(settings, Embedder(profile, encoder), store, metrics=Metrics())


PATHS = {"embedded": embedded, "servers": servers}


@pytest.mark.parametrize("path", PATHS)
async def test_judged_questions_find_their_paragraphs(path: str, tmp_path: Path) -> None:
    golden = golden_set("xquad-en")
    async with PATHS[path](tmp_path) as runtime:
        report = await ingest(runtime, golden, "xquad")
        assert (report.totals.added, report.totals.failed, report.totals.truncated_tokens) == (
            240,
            0,
            0,
        )
        assert await ndcg_at_10(runtime, golden, "xquad", most=200) >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.filterwarnings("ignore:Local mode is not recommended")
async def test_claims_find_their_abstracts_as_well_as_published(path: str, tmp_path: Path) -> None:
    golden = golden_set("scifact")
    async with PATHS[path](tmp_path) as runtime:
        report = await ingest(runtime, golden, "scifact")
        assert (report.totals.added, report.totals.failed) == (5_183, 0)
        assert await ndcg_at_10(runtime, golden, "scifact") >= 0.645
