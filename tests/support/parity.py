"""Made-up parities: a recording of random directions, and a candidate that repeats it, well or badly."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from gateway.domain.recording import Recorded, Recording
from gateway.domain.vectors import Matrix, shorten
from gateway.embedding.profile import ModelProfile
from gateway.errors import InputTooLong
from gateway.parity.candidates.base import About, Answered, Ask
from gateway.parity.corpus import PASSAGES, QUERIES
from gateway.parity.truth import Truth, recorded_truth

Spoil = Callable[[Matrix], Matrix]


def random_rows(count: int, size: int, *, seed: int = 7) -> Matrix:
    rows = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return shorten(rows, size)


def made_up_recording(profile: ModelProfile, *, long_tokens: int = 300) -> Recording:
    """Passages, queries and four long texts of equal length; an id is the number of a word."""
    texts = [("document", text) for text in PASSAGES[:14]]
    texts += [("query", text) for text in (*QUERIES, "a", "🚀", "a <bos> b", " x\n\ny ")]
    texts += [("document", f"{index} long" + " word" * long_tokens) for index in range(4)]
    rows = random_rows(len(texts), profile.full_size)
    items = [
        Recorded(task, text, None, final, tuple(range(len(final.split()))), row)
        for (task, text), row in zip(texts, rows, strict=True)
        for final in (profile.render(task, text),)
    ]
    return Recording(
        profile.fingerprint(), profile.model_id, profile.full_size, {"model": "made up"}, items
    )


def made_up_truth(profile: ModelProfile) -> Truth:
    return recorded_truth(made_up_recording(profile), profile, "made up")


class Repeating:
    """Answers what was recorded; `alone`, `together` and `cut` spoil the rows of such answers."""

    def __init__(
        self,
        recording: Recording,
        *,
        dtype: str = "float32",
        alone: Spoil = lambda rows: rows,
        together: Spoil | None = None,
        cut: Spoil = lambda rows: rows,
        extra_tokens: int = 0,
        takes_all: bool = False,
        other_ids: bool = False,
    ) -> None:
        self._items: Mapping[str, Recorded] = {item.rendered: item for item in recording.items}
        self._size = recording.size
        self._alone, self._together, self._cut = alone, together or alone, cut
        self._extra, self._takes_all, self._other_ids = extra_tokens, takes_all, other_ids
        self._about = About("repeating", "this test", recording.model_id, dtype)
        self.closed = False

    @property
    def about(self) -> About:
        return self._about

    def without_promise(self) -> "Repeating":
        self._about = replace(self._about, unit=False)
        return self

    cuts = True

    async def embed(self, asks: Sequence[Ask], *, size: int | None = None) -> Answered:
        known = [self._items.get(ask.rendered) for ask in asks]
        if None in known and not self._takes_all:
            raise InputTooLong("not recorded, so too long")
        items = [item or next(iter(self._items.values())) for item in known]
        rows = np.stack([item.vector for item in items])
        if size is not None:
            return Answered(self._cut(shorten(rows, size)), None)
        spoiled = self._alone(rows) if len(rows) == 1 else self._together(rows)
        return Answered(spoiled, sum(len(item.token_ids) + self._extra for item in items))

    async def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        by = 1 if self._other_ids else 0
        return [[token + by for token in self._items[text].token_ids] for text in texts]

    async def aclose(self) -> None:
        self.closed = True
