"""A cross-encoder of sentence-transformers in this process, its scores like TEI's."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.encoders.cross import CrossEncoderScorer
from gateway.ports import Health, RerankerInfo
from gateway.rerankers._texts import require_readable


class LocalReranker:
    """Implements `gateway.ports.Reranker`; made by `load`."""

    def __init__(self, scorer: CrossEncoderScorer, model: str, *, raw: bool) -> None:
        """Own a scorer: closing the reranker closes it."""
        self._scorer: Final = scorer
        self._info: Final = RerankerInfo("local", model, raw)

    @classmethod
    async def load(
        cls, model: str, *, raw: bool = False, device: str = "cpu", threads: int = 1
    ) -> "LocalReranker":
        """Load a folder or a hub id, in float32. `device` auto is a GPU where there is one.

        Raises:
            MissingExtra: sentence-transformers is not installed.
            ConfigurationError: it cannot be loaded, or gives more than one score.
        """
        scorer = await CrossEncoderScorer.load(model, device=device, threads=threads)
        return cls(scorer, model, raw=raw)

    @property
    def info(self) -> RerankerInfo:
        return self._info

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        require_readable(query, texts)
        logits = (await self._scorer.scores_of_all([(query, text) for text in texts])).astype(float)
        scores = logits if self._info.raw else (1 + np.tanh(logits / 2)) / 2  # the sigmoid, stable
        return scores.tolist()

    async def health(self) -> Health:
        told = f"{self._info.model_id} in this process"
        return Health("reranker", ok=not self._scorer.closed, detail=told)

    async def aclose(self) -> None:
        await self._scorer.aclose()
