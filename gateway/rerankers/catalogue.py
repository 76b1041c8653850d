"""Rerankers by model: which is the default, and which TEI cannot serve, with the reason.

Source: TEI's router and candle backends (1.8 to 1.9), and the configurations of the models.
"""

import re
from typing import Final

from gateway.errors import ConfigurationError

DEFAULT_MODEL: Final = "BAAI/bge-reranker-v2-m3"
"""Multilingual (XLM-RoBERTa, 568M parameters, Apache-2.0); served by TEI and locally."""

_SERVE: Final = f"serve {DEFAULT_MODEL}"
_LOCAL: Final = f"set rerank.kind=local to run it by sentence-transformers, or {_SERVE}"
_NOT_BY_TEI: Final = (
    (
        re.compile(r"ettin-reranker", re.IGNORECASE),
        "its head is made of modules of sentence-transformers, and TEI reads only models that are "
        "*ForSequenceClassification",
        _LOCAL,
    ),
    (
        re.compile(r"qwen\d*(\.\d+)?-reranker|mxbai-rerank-\w+-v2", re.IGNORECASE),
        "TEI has no classifier over Qwen, and the model wants a template of its own",
        _LOCAL,
    ),
    (
        re.compile(r"rerank.*minicpm|minicpm.*rerank", re.IGNORECASE),
        "TEI has no classifier over MiniCPM",
        _SERVE,
    ),
    (
        re.compile(r"gemma.*rerank|rerank.*gemma|mistral.*rerank|rerank.*mistral", re.IGNORECASE),
        "TEI has no classifier over Gemma or Mistral",
        _SERVE,
    ),
)


def require_served_by_tei(model: str) -> str:
    """Return a model that TEI can serve as a reranker, as far as is known.

    Raises:
        ConfigurationError: names the reason and the remedy.
    """
    for pattern, reason, remedy in _NOT_BY_TEI:
        if pattern.search(model):
            raise ConfigurationError(
                f"reranker {model!r} cannot be served by TEI: {reason}; {remedy}"
            )
    return model
