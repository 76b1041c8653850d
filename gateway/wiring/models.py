"""The reranker and the language model that the settings name, if they do."""

from gateway.errors import ConfigurationError
from gateway.events import Sink, discard
from gateway.ports import Generator, Reranker
from gateway.settings import Settings


async def open_reranker(settings: Settings, sink: Sink) -> Reranker | None:
    """Open the reranker that the settings name; None where they name none.

    Raises:
        MissingExtra, ConfigurationError: a local model cannot be loaded.
    """
    rerank = settings.rerank
    if settings.rerank_kind == "none":
        return None
    if settings.rerank_kind == "tei":
        from gateway.rerankers.tei import TEIReranker  # noqa: PLC0415

        return await TEIReranker.connect(
            rerank.urls,
            model=rerank.model,
            raw=rerank.raw_scores,
            api_key=rerank.api_key.get_secret_value() if rerank.api_key else None,
            timeout_seconds=rerank.timeout_seconds,
            sink=sink,
        )
    from gateway.rerankers.catalogue import DEFAULT_MODEL  # noqa: PLC0415
    from gateway.rerankers.local import LocalReranker  # noqa: PLC0415

    return await LocalReranker.load(
        rerank.model or DEFAULT_MODEL,
        raw=rerank.raw_scores,
        device=rerank.device,
        threads=settings.threads,
    )


def open_generator(settings: Settings, sink: Sink = discard) -> Generator | None:
    """Prepare the language model that the settings name; None where they name none.

    Raises:
        ConfigurationError: an address without a model.
    """
    llm = settings.llm
    if llm.url is None:
        return None
    if llm.model is None:
        raise ConfigurationError(
            "a language model needs a name: set llm.model (GATEWAY_LLM__MODEL)"
        )
    from gateway.generators.openai import OpenAIGenerator  # noqa: PLC0415

    key = llm.api_key.get_secret_value() if llm.api_key else None
    return OpenAIGenerator(
        llm.url, llm.model, api_key=key, timeout_seconds=llm.timeout_seconds, sink=sink
    )
