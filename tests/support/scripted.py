"""An encoder that answers what a test says, for tests of what is built over encoders."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.embedding.texts import Input
from gateway.errors import GatewayError, InputTooLong, InvalidText
from gateway.ports import EncoderInfo, Encoding, Health, Lane


def ones(
    size: int = 768, *, extra: int = 0, dtype: type[np.floating[Any]] = np.float32
) -> Callable[[int], NDArray[Any]]:
    """Answer rows of ones, `extra` more than were asked for."""

    def answer(count: int) -> NDArray[Any]:
        return np.ones((count + extra, size), dtype)

    return answer


def with_row(row: int, value: float) -> Callable[[int], NDArray[Any]]:
    """Answer rows of ones, but for one row of `value`."""

    def answer(count: int) -> NDArray[Any]:
        rows = np.ones((count, 768), np.float32)
        rows[row] = value
        return rows

    return answer


class ScriptedEncoder:
    """Counts a token per character, remembers what it read, answers what a test says.

    A text with `refuses` in it is refused for `reason`; one with `uncountable` fails a count.
    """

    def __init__(
        self,
        answer: Callable[[int], NDArray[Any]] | None = None,
        *,
        kind: str = "scripted",
        dtype: str = "float32",
        size: int = 768,
        max_tokens: int = 2048,
        refuses: str | None = None,
        reason: Callable[[str], GatewayError] = InputTooLong,
        uncountable: str | None = None,
    ) -> None:
        self.info = EncoderInfo(kind, "scripted", size, max_tokens, dtype)
        self.read: list[list[str]] = []
        self.counted: list[list[str]] = []
        self._answer = answer or ones(size=size)
        self._refuses = refuses
        self._reason = reason
        self._uncountable = uncountable

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        self.read.append(list(texts))
        refused: dict[int, GatewayError] = {
            index: self._reason(f"input {index} is too much for me")
            for index, text in enumerate(texts)
            if self._refuses is not None and self._refuses in text
        }
        rows = self._answer(len(texts))
        rows[list(refused)] = np.nan
        read = sum(len(text) for index, text in enumerate(texts) if index not in refused)
        return Encoding(rows, read, refused)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        self.counted.append(list(texts))
        for index, text in enumerate(texts):
            if self._uncountable is not None and self._uncountable in text:
                raise InvalidText(f"input {index}: no such word", index=index, field="text")
        return [len(text) for text in texts]

    async def cut(self, text: str, tokens: int) -> str:
        return text[:tokens]

    def token_counter(self) -> Callable[[str], int]:
        return len

    async def health(self) -> Health:
        return Health("scripted", ok=True)

    async def aclose(self) -> None:
        return None


def waves(count: int) -> NDArray[np.float32]:
    """Rows that do not depend on how many there are."""
    return np.tile(np.sin(np.arange(1, 769, dtype=np.float32)), (count, 1))


def inputs(*texts: str) -> list[Input]:
    return [Input(text) for text in texts]
