"""The model's limit in tokens: what is over it is refused, or cut when the caller says so.

Cutting has one owner, here: the text loses its end, the prompt and the title never do, and the cut is
the same whatever the encoder.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from gateway.domain.tokens import may_exceed
from gateway.embedding.refusals import Refusals
from gateway.embedding.results import Truncation
from gateway.embedding.texts import Input
from gateway.errors import InputTooLong
from gateway.ports import Encoder
from gateway.together import together

_CUT_AT_ONCE: Final = 16
"""Texts being cut at the same time: an encoder may ask a server for each."""


class TokenLimit:
    """Keeps rendered texts within what the model reads."""

    def __init__(self, encoder: Encoder, model: str, tokens: int) -> None:
        """`model` is how messages call it; `tokens` its limit, prompt and specials included."""
        self.tokens: Final = tokens
        self._encoder = encoder
        self._model = model

    async def fit(
        self,
        texts: dict[int, str],
        inputs: Sequence[Input],
        refusals: Refusals,
        *,
        truncate: bool,
    ) -> tuple[Truncation, ...]:
        """Refuse or cut what is over the limit, counting only what could be.

        `texts` are rendered, by index of their input; they are changed in place.
        """
        suspects = {i: t for i, t in texts.items() if may_exceed(len(t.encode()), self.tokens)}
        if not suspects:
            return ()
        counts = await self._counted(suspects, refusals)
        over = {index: count for index, count in counts.items() if count > self.tokens}
        shorter = await self._cut(over, texts, inputs) if truncate else {}
        for index, count in over.items():
            if index not in shorter:
                item = inputs[index]
                refusals.add(
                    index, self._no_room(index, item) if truncate else self._over(index, count)
                )
        texts.update(shorter)
        kept = await self._counted(shorter, refusals)
        for index in refusals.errors:
            texts.pop(index, None)
        return tuple(Truncation(index, count, over[index] - count) for index, count in kept.items())

    async def _counted(self, texts: Mapping[int, str], refusals: Refusals) -> dict[int, int]:
        asked = dict(texts)
        counts = await refusals.sparing(asked, self._encoder.count_tokens)
        return {} if counts is None else dict(zip(asked, counts, strict=True))

    async def _cut(
        self, over: Iterable[int], texts: Mapping[int, str], inputs: Sequence[Input]
    ) -> dict[int, str]:
        """Return the beginnings that fit, without those that keep nothing of their text."""
        kept: dict[int, str] = {}
        indexes = list(over)
        for start in range(0, len(indexes), _CUT_AT_ONCE):
            group = indexes[start : start + _CUT_AT_ONCE]
            cutting = [self._encoder.cut(texts[index], self.tokens) for index in group]
            for index, text in zip(group, await together(cutting), strict=True):
                head = len(texts[index]) - len(inputs[index].text)
                if text[head:].strip():
                    kept[index] = text
        return kept

    def _over(self, index: int, count: int) -> InputTooLong:
        return InputTooLong(
            f"input {index} has {count} tokens with its prompt; model {self._model!r} reads "
            f"{self.tokens}: split the text, or ask for it to be cut (truncate)",
            index=index,
            field="text",
        )

    def _no_room(self, index: int, item: Input) -> InputTooLong:
        beside = "its prompt" if item.title is None else "its prompt and title"
        return InputTooLong(
            f"input {index} cannot be cut: nothing of its text fits beside {beside} into the "
            f"{self.tokens} tokens that model {self._model!r} reads",
            index=index,
            field="text" if item.title is None else "title",
        )
