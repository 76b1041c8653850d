"""A cross-encoder without weights: what a TEI stub computes behind `/rerank`."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

MAX_TOKENS: Final = 64
_WORDS: Final = re.compile(r"\w+")


class WordScorer:
    """Logits are the words of the query that a text has, less those it lacks.

    A pair has a token for each word and three specials; what is over the limit is cut off the text.
    """

    @property
    def max_tokens(self) -> int:
        return MAX_TOKENS

    async def counts(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        return [len(_words(query)) + len(_words(text)) + 3 for query, text in pairs]

    async def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return np.array([logit(query, text) for query, text in pairs], np.float32)


def logit(query: str, text: str) -> float:
    """What `WordScorer` answers, as a raw score."""
    asked = _words(query)
    read = set(_words(text)[: MAX_TOKENS - 3 - len(asked)])
    return sum(1.0 if word in read else -1.0 for word in asked) + len(read) / 1024


def _words(text: str) -> list[str]:
    return _WORDS.findall(text.lower())
