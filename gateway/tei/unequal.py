"""Texts that share a forward pass and are all of one length: TEI forgets the sliding window there.

TEI (issue 882, all releases to 1.9.3) leaves the window's mask out of a pass whose texts have equal
lengths, and answers other vectors than for each text alone. One text alone is always masked. A short
text between two long ones makes lengths differ however the server cuts or joins its passes, which
keep the order of arrival; its vector is thrown away. Not seen from here: a pass that the server cuts out
of a request of several lengths, and the requests of others. Texts within the window are never touched.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final

from gateway.tei.answers import Embedded
from gateway.tei.wire import Token

FILLER: Final = b'"a"'


def may_be_equal(count: int, tokens: int, window: int, *, shared: bool) -> bool:
    """Whether `count` texts that had `tokens` in all could have met texts of one length above the window.

    Those are each other, or for a lone text those of requests that `shared` the server with it.
    """
    return (count > 1 or shared) and tokens % count == 0 and tokens // count > window


class Crossing:
    """Tells of each request whether others were on their way to the server meanwhile."""

    def __init__(self) -> None:
        self._flying = 0
        self._begun = 0

    @contextmanager
    def watched(self) -> Generator[Callable[[], bool]]:
        """Yield what tells, at the end, whether there were others."""
        met = self._flying > 0
        self._flying += 1
        self._begun += 1
        mine = self._begun
        try:
            yield lambda: met or self._begun != mine
        finally:
            self._flying -= 1


def are_equal(rows: Sequence[Sequence[Token]]) -> bool:
    return len({len(row) for row in rows}) == 1


def spaced(texts: Sequence[bytes]) -> list[bytes]:
    """A filler before each text."""
    return [one for text in texts for one in (FILLER, text)]


def without_fillers(answer: Embedded, filler_tokens: int) -> Embedded:
    """The answer to `spaced` texts as one to the texts."""
    rows = answer.rows[1::2]
    bad = tuple(place // 2 for place in answer.bad if place % 2)
    return Embedded(rows, answer.tokens - filler_tokens * len(rows), bad)
