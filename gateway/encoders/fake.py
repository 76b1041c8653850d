"""Made-up vectors: no model, yet deterministic everywhere and rankable.

Texts that share words are nearer, words that share letters a little nearer. Each word puts signed
small integers at hashed places, so sums are exact and equal in every process and on every platform.
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from threading import Lock
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gateway.domain.vectors import Matrix
from gateway.encoders._cut import Span, cut
from gateway.errors import ConfigurationError, GatewayError, InputTooLong
from gateway.ports import EncoderInfo, Encoding, Health, Lane

_SLOTS: Final = 32
"""Places per hash: one in each of 32 equal strata, so that every prefix of a vector sees some."""
_SPECIAL_TOKENS: Final = 2
_GROUP_WORDS: Final = 512
"""Words summed between two looks at the event loop: what the working arrays need stays in cache."""
_TABLE_WORDS: Final = 32_768
WORDS: Final = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff]"  # kana and ideographs stand alone
    r"|[^\W\u3040-\u30ff\u3400-\u9fff]{1,16}"  # a word, or a piece of a very long one
    r"|[^\w\s]"  # a mark or an emoji
)
"""What counts as a token, beside the two specials."""

_Hashes: TypeAlias = NDArray[np.uint16]
_Split: TypeAlias = tuple[int, str, list[str]]
"""A text with its index and its words."""


class FakeEncoder:
    """Encodes without a model. Tokens are words and marks, plus two specials.

    Vectors are raw sums, far from unit length, and differ for any two different texts.
    """

    def __init__(self, *, size: int = 768, max_tokens: int = 2048, model_id: str = "fake") -> None:
        if not _SLOTS <= size <= 65_535:
            raise ConfigurationError(f"a fake vector has {_SLOTS} to 65535 components, not {size}")
        self._info: Final = EncoderInfo(
            kind="fake", model_id=model_id, size=size, max_tokens=max_tokens, variant="fake"
        )
        self._words: Final = _WordTable(size, max(_TABLE_WORDS, max_tokens))

    @property
    def info(self) -> EncoderInfo:
        return self._info

    async def encode(  # the lane says nothing here: calls take turns
        self,
        texts: Sequence[str],
        *,
        lane: Lane = Lane.QUERY,  # noqa: ARG002
    ) -> Encoding:
        """Encode on the event loop, which gets a turn after every few texts."""
        rows = np.empty((len(texts), self._info.size), np.float32)
        refused: dict[int, GatewayError] = {}
        counts = [0] * len(texts)
        for group in _groups(self._split(texts, refused)):
            rows[[index for index, _, _ in group]] = self._words.sum_up(group)
            for index, _, words in group:
                counts[index] = len(words) + _SPECIAL_TOKENS
            await asyncio.sleep(0)
        rows[list(refused)] = np.nan
        return Encoding(rows, sum(counts), refused, counts)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [_count(text) for text in texts]

    async def cut(self, text: str, tokens: int) -> str:
        return await cut(text, tokens, _spans)

    def token_counter(self) -> Callable[[str], int]:
        return _count

    async def health(self) -> Health:
        return Health("fake", ok=True, detail="made-up vectors, no model")

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _split(self, texts: Iterable[str], refused: dict[int, GatewayError]) -> Iterator[_Split]:
        for index, text in enumerate(texts):
            words = WORDS.findall(text)
            count = len(words) + _SPECIAL_TOKENS
            if count <= self._info.max_tokens:
                yield index, text, words
                continue
            refused[index] = InputTooLong(
                f"input {index} has {count} tokens; the fake encoder reads "
                f"{self._info.max_tokens}: split the text",
                index=index,
                field="text",
            )


class _Rows(dict[str, int]):
    """The row of each word; a word met first gets the next row and is put down there."""

    def __init__(self, learn: Callable[[int, str], None]) -> None:
        super().__init__()
        self._learn = learn

    def __missing__(self, word: str) -> int:
        row = len(self)
        self._learn(row, word)
        self[word] = row
        return row


class _WordTable:
    """Hashed places and weights of words, remembered up to a bound. Safe to share by threads."""

    def __init__(self, size: int, capacity: int) -> None:
        self._size = size
        self._width = size // _SLOTS
        self._strata = np.arange(_SLOTS, dtype=np.int64) * self._width
        self._rows: Final = _Rows(self._learn)
        self._places = np.empty((capacity, 2 * _SLOTS), np.uint16)
        self._weights = np.empty((capacity, 2 * _SLOTS), np.int8)
        self._lock = Lock()

    def sum_up(self, group: Sequence[_Split]) -> Matrix:
        """Sum the words of each text, and a mark of the whole text that tells it from all others."""
        counts = [len(words) for _, _, words in group]
        with self._lock:
            if len(self._rows) + sum(counts) > len(self._places):
                self._rows.clear()
            words = chain.from_iterable(words for _, _, words in group)
            found = np.fromiter(map(self._rows.__getitem__, words), np.int64, sum(counts))
            offsets = np.repeat(np.arange(len(group)) * self._size, counts)
            places = self._places[found] + offsets[:, None]
            weights = self._weights[found]
        total = np.bincount(
            places.ravel(), weights=weights.ravel(), minlength=len(group) * self._size
        ).reshape(len(group), self._size)
        for row, (_, text, _) in zip(total, group, strict=True):
            at, signs = self._spread(_hashes(text))
            row[at] += signs
        return total.astype(np.float32)

    def _learn(self, row: int, spelling: str) -> None:
        """Put down a word: itself twice as heavy as its letters; long words weigh more."""
        word = spelling.casefold()
        weight = 0 if word.isascii() and not word.isalnum() and len(word) == 1 else _weight(word)
        own, own_signs = self._spread(_hashes(word))
        letters, letter_signs = self._spread(_letters(word))
        self._places[row] = np.concatenate((own, letters))
        self._weights[row] = np.concatenate((own_signs * 2, letter_signs)) * weight

    def _spread(self, hashes: _Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return self._strata + hashes % self._width, (hashes // self._width % 2).astype(
            np.int64
        ) * 2 - 1


def _groups(texts: Iterable[_Split]) -> Iterator[list[_Split]]:
    """Texts with their words, grouped so that a group of several has at most `_GROUP_WORDS`."""
    group: list[_Split] = []
    room = _GROUP_WORDS
    for index, text, words in texts:
        room -= len(words) + _SPECIAL_TOKENS
        if group and room < 0:
            yield group
            group, room = [], _GROUP_WORDS - len(words)
        group.append((index, text, words))
    if group:
        yield group


def _count(text: str) -> int:
    return len(WORDS.findall(text)) + _SPECIAL_TOKENS


async def _spans(text: str) -> list[Span]:
    return [None, *(found.span() for found in WORDS.finditer(text)), None]


def _weight(word: str) -> int:
    """Longer words say more: a stand-in for their rarity."""
    return 1 if len(word) <= 3 else 2 if len(word) <= 5 else 3


def _hashes(text: str) -> _Hashes:
    digest = blake2b(text.encode(errors="surrogatepass"), digest_size=2 * _SLOTS).digest()
    return np.frombuffer(digest, "<u2")


def _letters(word: str) -> _Hashes:
    """Minimum hashes of the word's trigrams: two words agree in as many places as they share."""
    framed = f"<{word}>"
    grams = {framed[at : at + 3] for at in range(max(1, len(framed) - 2))}
    return np.minimum.reduce([_hashes(gram) for gram in sorted(grams)])
