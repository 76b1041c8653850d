"""An encoder whose vectors have a decaying spectrum, as those of a Matryoshka-trained model do.

A text is `topic ...`: texts of one topic lie near each other, and a prefix of a vector already tells
most of it. A query `topic ...` is near the chunks of its topic, nearest to the one with its words.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np

from gateway.domain.vectors import Vector
from gateway.encoders.fake import FakeEncoder
from gateway.ports import EncoderInfo, Encoding, Health, Lane

DECAY = 0.7
"""Exponent of the power law by which components shrink."""


class SpectrumEncoder:
    """Deterministic vectors by the words of a text; the prompt before it is left out of account."""

    def __init__(self, *, size: int = 768, prompts: Sequence[str] = ()) -> None:
        self._fake = FakeEncoder(size=size)
        self._prompts = sorted(filter(None, prompts), key=len, reverse=True)
        self._scale = (np.arange(1, size + 1) ** -DECAY).astype(np.float32)

    @property
    def info(self) -> EncoderInfo:
        return self._fake.info

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        counted = await self._fake.encode(texts, lane=lane)
        rows = np.stack([self._row(self._bare(text)) for text in texts])
        return Encoding(rows, counted.tokens, counts=counted.counts)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return await self._fake.count_tokens(texts)

    async def cut(self, text: str, tokens: int) -> str:
        return await self._fake.cut(text, tokens)

    def token_counter(self) -> Callable[[str], int]:
        return self._fake.token_counter()

    async def health(self) -> Health:
        return await self._fake.health()

    async def aclose(self) -> None:
        await self._fake.aclose()

    def _bare(self, text: str) -> str:
        for prompt in self._prompts:
            if text.startswith(prompt):
                return text.removeprefix(prompt)
        return text

    def _row(self, text: str) -> Vector:
        words = text.split() or [""]
        topic = self._drawn(words[0])
        row = topic + 0.5 * sum((self._drawn(word) for word in words[1:]), np.zeros_like(topic))
        return (row * self._scale).astype(np.float32)

    def _drawn(self, word: str) -> Vector:
        seed = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
        return np.random.default_rng(seed).normal(size=len(self._scale)).astype(np.float32)
