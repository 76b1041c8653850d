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
from gateway.errors import ConfigurationError, InputTooLong
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
        rows: list[Matrix] = []
        tokens = 0
        for group in _groups(texts, self._split):
            rows.append(self._words.sum_up(group))
            tokens += sum(len(words) + _SPECIAL_TOKENS for _, words in group)
            await asyncio.sleep(0)
        vectors = np.concatenate(rows) if rows else np.empty((0, self._info.size), np.float32)
        return Encoding(vectors, tokens)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [_count(text) for text in texts]

    def token_counter(self) -> Callable[[str], int]:
        return _count

    async def health(self) -> Health:
        return Health("fake", ok=True, detail="made-up vectors, no model")

    async def aclose(self) -> None:
        """Nothing is held open."""

    def _split(self, index: int, text: str) -> list[str]:
        words = WORDS.findall(text)
        count = len(words) + _SPECIAL_TOKENS
        if count > self._info.max_tokens:
            raise InputTooLong(
                f"input {index} has {count} tokens; the fake encoder reads "
                f"{self._info.max_tokens}: split the text",
                index=index,
                field="text",
            )
        return words


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

    def sum_up(self, group: Sequence[tuple[str, list[str]]]) -> Matrix:
        """Sum the words of each text, and a mark of the whole text that tells it from all others."""
        counts = [len(words) for _, words in group]
        with self._lock:
            if len(self._rows) + sum(counts) > len(self._places):
                self._rows.clear()
            words = chain.from_iterable(words for _, words in group)
            found = np.fromiter(map(self._rows.__getitem__, words), np.int64, sum(counts))
            offsets = np.repeat(np.arange(len(group)) * self._size, counts)
            places = self._places[found] + offsets[:, None]
            weights = self._weights[found]
        total = np.bincount(
            places.ravel(), weights=weights.ravel(), minlength=len(group) * self._size
        ).reshape(len(group), self._size)
        for row, (text, _) in zip(total, group, strict=True):
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


def _groups(
    texts: Iterable[str], split: Callable[[int, str], list[str]]
) -> Iterator[list[tuple[str, list[str]]]]:
    """Texts with their words, grouped so that a group of several has at most `_GROUP_WORDS`."""
    group: list[tuple[str, list[str]]] = []
    room = _GROUP_WORDS
    for index, text in enumerate(texts):
        words = split(index, text)
        room -= len(words) + _SPECIAL_TOKENS
        if group and room < 0:
            yield group
            group, room = [], _GROUP_WORDS - len(words)
        group.append((text, words))
    if group:
        yield group


def _count(text: str) -> int:
    return len(WORDS.findall(text)) + _SPECIAL_TOKENS


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
