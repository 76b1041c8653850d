"""A cross-encoder of sentence-transformers in this process, its scores like TEI's."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.encoders.cross import CrossEncoderScorer
from gateway.ports import Health, RerankerInfo

BATCH: Final = 16
"""Pairs of one forward pass: a cancelled search ends with the pass in hand."""


class LocalReranker:
    """Implements `gateway.ports.Reranker`; made by `load`."""

    def __init__(self, scorer: CrossEncoderScorer, model: str, *, raw: bool) -> None:
        self._scorer: Final = scorer
        self._info: Final = RerankerInfo("local", model, raw)

    @classmethod
    async def load(
        cls, model: str, *, raw: bool = False, device: str = "cpu", threads: int = 1
    ) -> "LocalReranker":
        """Load a folder or a hub id.

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
        scores: list[float] = []
        for start in range(0, len(texts), BATCH):
            pairs = [(query, text) for text in texts[start : start + BATCH]]
            scores += (await self._scorer.scores(pairs)).astype(np.float64).tolist()
        if self._info.raw:
            return scores
        return (1 / (1 + np.exp(-np.asarray(scores, np.float64)))).tolist()

    async def health(self) -> Health:
        return Health("reranker", ok=True, detail=f"{self._info.model_id} in this process")

    async def aclose(self) -> None:
        await self._scorer.aclose()
