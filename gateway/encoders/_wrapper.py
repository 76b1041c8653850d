"""An encoder around another one: all but `encode` is passed on."""

from collections.abc import Callable, Sequence
from typing import Final

from gateway.ports import Encoder, EncoderInfo, Health


class WrappedEncoder:
    """Base of encoders that change how another one is asked, never what it answers."""

    def __init__(self, encoder: Encoder) -> None:
        """Wrap `encoder` and own it: closing the wrapper closes it."""
        self._encoder: Final = encoder

    @property
    def info(self) -> EncoderInfo:
        return self._encoder.info

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return await self._encoder.count_tokens(texts)

    async def cut(self, text: str, tokens: int) -> str:
        return await self._encoder.cut(text, tokens)

    def token_counter(self) -> Callable[[str], int]:
        return self._encoder.token_counter()

    async def health(self) -> Health:
        return await self._encoder.health()

    async def aclose(self) -> None:
        await self._encoder.aclose()
