"""Exact token counts in this process, and batches of bounded size."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tokenizers import Encoding as TokenizerEncoding
from tokenizers import Tokenizer

from gateway.encoders._cut import Span
from gateway.errors import InputTooLong

_AT_ONCE: Final = 256


class ExactTokens:
    """A tokenizer that neither cuts nor pads. Safe to share by threads: it is never changed."""

    def __init__(self, definition: str, *, model_id: str, max_tokens: int) -> None:
        """Read the text of a `tokenizer.json`; its own truncation and padding are switched off."""
        self._tokenizer = Tokenizer.from_str(definition)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._model_id = model_id
        self._max_tokens = max_tokens

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer itself; whoever gets it must not change it."""
        return self._tokenizer

    def encode(self, texts: Sequence[str]) -> list[TokenizerEncoding]:
        return self._tokenizer.encode_batch_fast(list(texts))

    def counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens included; memory is bounded by a few texts."""
        return [
            len(encoding)
            for start in range(0, len(texts), _AT_ONCE)
            for encoding in self.encode(texts[start : start + _AT_ONCE])
        ]

    def counter(self) -> Callable[[str], int]:
        """Return a blocking counter of one text."""
        encode = self._tokenizer.encode
        return lambda text: len(encode(text))

    def spans(self, text: str) -> list[Span]:
        """Return the characters that each token of a text covers; None for special tokens."""
        encoding = self._tokenizer.encode(text)
        return [
            None if special else (start, end)
            for special, (start, end) in zip(
                encoding.special_tokens_mask, encoding.offsets, strict=True
            )
        ]

    def refusals(self, counts: Sequence[int]) -> dict[int, InputTooLong]:
        """Return the errors of the texts that have more tokens than the model reads, by index."""
        return {
            index: self.too_long(index, count)
            for index, count in enumerate(counts)
            if count > self._max_tokens
        }

    def too_long(self, index: int, count: int) -> InputTooLong:
        """The error of input `index`, whose `count` of tokens is over the model's limit."""
        return InputTooLong(
            f"input {index} has {count} tokens; model {self._model_id!r} reads "
            f"{self._max_tokens}: split the text, nothing is cut silently",
            index=index,
            field="text",
        )


def batches(counts: Sequence[int], *, padded_tokens: int) -> Iterator[list[int]]:
    """Indexes of texts of like length, each batch at most `padded_tokens` once padded, or one text."""
    batch: list[int] = []
    for index in sorted(range(len(counts)), key=counts.__getitem__):
        if batch and (len(batch) + 1) * counts[index] > padded_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
