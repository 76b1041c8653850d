import pytest

from gateway.errors import ConfigurationError
from gateway.rerankers.catalogue import DEFAULT_MODEL, require_served_by_tei
from gateway.settings import load_settings
from gateway.wiring.consistency import require_consistent


@pytest.mark.parametrize(
    ("model", "reason", "remedy"),
    [
        ("cross-encoder/ettin-reranker-17m-v1", "ForSequenceClassification", r"rerank\.kind=local"),
        ("Qwen/Qwen3-Reranker-0.6B", "no classifier over Qwen", r"rerank\.kind=local"),
        ("mixedbread-ai/mxbai-rerank-large-v2", "no classifier over Qwen", r"rerank\.kind=local"),
        ("BAAI/bge-reranker-v2-gemma", "no classifier over Gemma", f"; serve {DEFAULT_MODEL}"),
        ("BAAI/bge-reranker-v2.5-gemma2-lightweight", "over Gemma", f"; serve {DEFAULT_MODEL}"),
        ("BAAI/bge-reranker-v2-minicpm-layerwise", "over MiniCPM", f"; serve {DEFAULT_MODEL}"),
    ],
)
def test_models_that_tei_cannot_serve_are_refused_with_the_reason(
    model: str, reason: str, remedy: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        require_served_by_tei(model)
    settings = {"rerank": {"urls": "http://tei:80", "model": model}}
    with pytest.raises(ConfigurationError, match=remedy):
        require_consistent(load_settings(settings, environ={}))


@pytest.mark.parametrize(
    "model",
    [
        DEFAULT_MODEL,
        "BAAI/bge-reranker-large",
        "Alibaba-NLP/gte-multilingual-reranker-base",
        "Alibaba-NLP/gte-reranker-modernbert-base",
        "mixedbread-ai/mxbai-rerank-base-v1",
        "/data/a-reranker",
    ],
)
def test_models_that_tei_serves_or_may_serve_pass(model: str) -> None:
    assert require_served_by_tei(model) == model


def test_tei_without_an_address_is_refused() -> None:
    settings = load_settings({"rerank": {"kind": "tei"}}, environ={})
    with pytest.raises(ConfigurationError, match=r"GATEWAY_RERANK__URLS"):
        require_consistent(settings)
