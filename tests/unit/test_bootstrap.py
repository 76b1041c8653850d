"""Settings that cannot work together are refused before anything is opened."""

from pathlib import Path

import pytest

from gateway.bootstrap import open_runtime, require_consistent
from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_300M
from gateway.errors import ConfigurationError, GatewayError
from gateway.settings import load_settings

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


async def test_the_embedded_model_is_never_served_under_another_name(tmp_path: Path) -> None:
    file = tmp_path / "profiles.toml"
    file.write_text(E5, encoding="utf-8")
    settings = load_settings({"profiles_file": file, "profile": "my-e5"}, environ={})
    with pytest.raises(ConfigurationError, match="'my-e5' is not the embedded model"):
        async with open_runtime(settings):
            pass
