"""Settings that cannot work together are refused before anything is opened."""

import asyncio
from pathlib import Path

import pytest

from gateway.bootstrap import open_runtime
from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Input
from gateway.errors import ConfigurationError, GatewayError
from gateway.settings import load_settings
from gateway.wiring.consistency import require_consistent

pytestmark = pytest.mark.anyio

E5 = """
[my-e5]
model_id = "intfloat/e5-small-v2"
sizes = [384]
max_tokens = 512
dtypes = ["float32", "int8"]
prompts = { query = "query: ", document = "passage: " }
"""


def test_the_defaults_and_two_urls_are_consistent() -> None:
    assert require_consistent(load_settings(environ={})) is ALL_MINILM_L6_V2
    urls = {"GATEWAY_TEI__URLS": "http://a", "GATEWAY_QDRANT__URL": "http://b"}
    assert require_consistent(load_settings(environ=urls)) is EMBEDDING_GEMMA_300M


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"GATEWAY_PROFILE": "embeddinggemma-300m"}, "is not the embedded model"),
        ({"GATEWAY_ENCODER": "tei"}, "GATEWAY_TEI__URLS"),
        ({"GATEWAY_ENCODER": "openai"}, "GATEWAY_OPENAI__URL"),
        ({"GATEWAY_OPENAI__URL": "http://a"}, "GATEWAY_OPENAI__TOKENIZER"),
        ({"GATEWAY_STORE": "qdrant"}, "qdrant.url"),
        ({"GATEWAY_CACHE__KIND": "valkey"}, "cache.url"),
        ({"GATEWAY_SIZE": "300"}, "no size 300"),
        ({"GATEWAY_INGEST__OVERLAP_TOKENS": "500"}, "overlap"),
        ({"GATEWAY_SERVER__DEFAULT_TASK": "qury"}, "no task 'qury'"),
        ({"GATEWAY_PROFILE": "nope"}, "no model 'nope'"),
        (
            {"GATEWAY_PROFILE": "embeddinggemma-2", "GATEWAY_TEI__URLS": "http://a"},
            "cannot be served by 'tei'",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_name(environ: dict[str, str], said: str) -> None:
    with pytest.raises(GatewayError, match=said):
        require_consistent(load_settings(environ=environ))


async def test_a_second_run_finds_the_vectors_of_the_first_on_disk(tmp_path: Path) -> None:
    environ = {
        "GATEWAY_DATA_DIR": str(tmp_path),
        "GATEWAY_ENCODER": "fake",
        "GATEWAY_STORE": "memory",
        "GATEWAY_CACHE__KIND": "disk",
    }
    pages: list[str] = []
    for _ in range(2):
        async with open_runtime(load_settings(environ=environ)) as runtime:
            inputs = [Input("one text"), Input("another"), Input("one text")]
            await runtime.embedder.embed("query", inputs, size=256)
            pages.append(runtime.metrics.render().decode())

    assert (tmp_path / "cache").is_dir()
    for page, hits, misses in zip(pages, (0.0, 2.0), (2.0, 0.0), strict=True):
        assert f'gateway_cache_hits_total{{cache="disk"}} {hits}' in page
        assert f'gateway_cache_misses_total{{cache="disk"}} {misses}' in page
        assert "gateway_shared_inputs_total 1.0" in page


async def test_concurrent_calls_of_a_gateway_share_one_encoding() -> None:
    environ = {"GATEWAY_ENCODER": "fake", "GATEWAY_STORE": "memory"}
    async with open_runtime(load_settings(environ=environ)) as runtime:
        embed = runtime.embedder.embed_one
        first, *others = await asyncio.gather(*(embed("query", "red planet") for _ in range(5)))

        assert all((other.vectors == first.vectors).all() for other in others)
        assert {other.tokens for other in others} == {first.tokens}
        assert b"gateway_shared_inputs_total 4.0" in runtime.metrics.render()


async def test_a_cache_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {
        "GATEWAY_ENCODER": "fake",
        "GATEWAY_STORE": "memory",
        "GATEWAY_CACHE__KIND": "disk",
        "GATEWAY_CACHE__PATH": str(tmp_path / "file"),
    }
    with pytest.raises(ConfigurationError, match=r"cache\.path"):
        async with open_runtime(load_settings(environ=environ)):
            pass


async def test_a_cache_server_that_is_down_costs_no_answer() -> None:
    environ = {
        "GATEWAY_ENCODER": "fake",
        "GATEWAY_STORE": "memory",
        "GATEWAY_CACHE__KIND": "valkey",
        "GATEWAY_CACHE__URL": "valkey://127.0.0.1:1",
    }
    pytest.importorskip("redis", reason="needs the extra `valkey`")
    async with open_runtime(load_settings(environ=environ)) as runtime:
        answer = await runtime.embedder.embed_one("query", "red planet")

        assert answer.vectors.shape[0] == 1
        assert b'gateway_cache_failures_total{cache="valkey"' in runtime.metrics.render()


async def test_the_embedded_model_is_never_served_under_another_name(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(E5, encoding="utf-8")
    settings = load_settings({"profiles_file": file, "profile": "my-e5"}, environ={})
    with pytest.raises(ConfigurationError, match="'my-e5' is not the embedded model"):
        async with open_runtime(settings):
            pass
