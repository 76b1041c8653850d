"""A candidate that its owner closes."""

from collections.abc import Sequence
from typing import Final

from gateway.parity.candidates.base import About, Answered, Ask, Candidate


class KeptOpen:
    """Passes everything on but the close."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate: Final = candidate

    @property
    def about(self) -> About:
        return self._candidate.about

    @property
    def cuts(self) -> bool:
        return self._candidate.cuts

    async def embed(self, asks: Sequence[Ask], *, size: int | None = None) -> Answered:
        return await self._candidate.embed(asks, size=size)

    async def token_ids(self, texts: Sequence[str]) -> list[list[int]] | None:
        return await self._candidate.token_ids(texts)

    async def aclose(self) -> None:
        """Leave it open."""
