"""A reranker without a model: the share of the query's words that a text has."""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from gateway.ports import Health, RerankerInfo
from gateway.rerankers._texts import require_readable

_WORDS: Final = re.compile(r"\w+")


class FakeReranker:
    """Deterministic everywhere; longer texts lose ties to shorter ones by a little."""

    def __init__(self, *, model_id: str = "fake") -> None:
        self._info: Final = RerankerInfo("fake", model_id)

    @property
    def info(self) -> RerankerInfo:
        return self._info

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        require_readable(query, texts)
        wanted = set(_WORDS.findall(query.lower()))
        await asyncio.sleep(0)
        return [_share(wanted, _WORDS.findall(text.lower())) for text in texts]

    async def health(self) -> Health:
        return Health("reranker", ok=True, detail="made-up scores, no model")

    async def aclose(self) -> None:
        """Nothing is held open."""


def _share(wanted: set[str], words: Sequence[str]) -> float:
    if not wanted:
        return 0.0
    found = len(wanted.intersection(words)) / len(wanted)
    return found * (1 - len(words) / 1_000_000)
