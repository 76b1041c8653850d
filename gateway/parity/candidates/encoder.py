"""Any of our encoders as a candidate: what the gateway itself would be served by."""

from collections.abc import Sequence
from typing import Any, Final, cast

from gateway.parity.candidates.base import About, Answered, Ask
from gateway.ports import Encoder

_WHERE: Final = ("server", "urls", "device")
_SERVED: Final = ("tei", "openai")
"""Kinds of encoders that a server is behind."""


class EncoderCandidate:
    """An open encoder; closing the candidate closes it."""

    cuts = False

    def __init__(self, encoder: Encoder) -> None:
        self._encoder: Final = encoder

    @property
    def about(self) -> About:
        info = self._encoder.info
        facts = dict(info.details)
        where = next((facts[name] for name in _WHERE if name in facts), "in this process")
        dtype = facts.get("server_dtypes", info.known_dtype)
        return About(info.kind, where, info.model_id, dtype, info.kind in _SERVED, facts)

    async def embed(self, asks: Sequence[Ask], *, size: int | None = None) -> Answered:  # noqa: ARG002
        encoding = await self._encoder.encode([ask.rendered for ask in asks])
        return Answered(encoding.vectors, encoding.tokens)

    async def token_ids(self, texts: Sequence[str]) -> list[list[int]] | None:
        tell = cast("Any", getattr(self._encoder, "token_ids", None))
        return None if tell is None else await tell(texts)

    async def aclose(self) -> None:
        await self._encoder.aclose()
