"""Texts for benchmarks, and for every text the one vector that the stub of TEI answers.

The first four numbers of a vector are a digest of its text (two points on a circle, so that the
length stays 1), the others are the same for all. So a client that swaps, drops or repeats a vector is
caught, and making vectors costs the stub next to nothing. Needs numpy only.
"""

import random
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

SIZE: Final = 768
DIGEST: Final = 4
ANGLES: Final = 1 << 16
RADIUS: Final = 0.2
"""Of each of the two circles; the rest of the vector holds what is left of length 1."""

Matrix = NDArray[np.float32]


class WrongVectorsError(Exception):
    """A client did not return each text's own vector."""


def _points() -> Matrix:
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("<f4") * np.float32(RADIUS)


def _tail() -> Matrix:
    numbers = np.random.default_rng(0).normal(size=SIZE - DIGEST)
    length = np.sqrt(1 - 2 * RADIUS**2)
    return (numbers * length / np.linalg.norm(numbers)).astype("<f4")


POINTS: Final = _points()
TAIL: Final = _tail()


def digest(text: bytes) -> int:
    """Return 32 bits of a text in UTF-8; the two halves are the two points."""
    return zlib.crc32(text)


def rows_of(texts: Sequence[str]) -> Matrix:
    """Return the vectors of texts, shape (n, SIZE)."""
    rows = np.empty((len(texts), SIZE), np.float32)
    rows[:, :DIGEST] = _heads(texts)
    rows[:, DIGEST:] = TAIL
    return rows


def require_rows(texts: Sequence[str], rows: Matrix) -> None:
    """Hold what a client returned against the vectors of its texts, bit for bit.

    Raises:
        WrongVectorsError: another shape, or a text with another text's vector.
    """
    if rows.shape != (len(texts), SIZE):
        raise WrongVectorsError(f"shape {rows.shape} for {len(texts)} texts")
    heads = _heads(texts)
    for start in range(0, len(texts), 1024):  # in slices: memory is measured too
        part = rows[start : start + 1024]
        right = (part[:, :DIGEST] == heads[start : start + 1024]).all(axis=1)
        right &= (part[:, DIGEST:] == TAIL).all(axis=1)
        if not right.all():
            first = start + int(np.flatnonzero(~right)[0])
            raise WrongVectorsError(f"text {first} has not got its own vector")


def corpus(count: int, *, seed: int = 0) -> list[str]:
    """Return different texts of 150 to 450 bytes, 300 on average: about 60 tokens."""
    rng = random.Random(seed)  # noqa: S311
    words = [_word(rng) for _ in range(2000)]
    texts: list[str] = []
    for i in range(count):
        length = rng.randint(21, 64)
        texts.append(f"{i} " + " ".join(rng.choices(words, k=length)) + ".")
    return texts


def _word(rng: random.Random) -> str:
    """A made-up word; one in 50 needs an escape in JSON or more than one byte."""
    letters = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10)))
    return (
        rng.choice([f'"{letters}"', f"{letters}é", f"{letters}\n"])
        if rng.random() < 0.02
        else letters
    )


def _heads(texts: Sequence[str]) -> Matrix:
    digests = np.array([digest(text.encode()) for text in texts], np.uint32)
    return np.concatenate([POINTS[digests & 0xFFFF], POINTS[digests >> 16]], axis=1)
