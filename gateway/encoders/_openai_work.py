"""One call of `encode`: what is sent, what came back, what was refused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.domain.vectors import Matrix
from gateway.encoders._openai_wire import SERVICE
from gateway.encoders._tokens import ExactTokens, batches
from gateway.errors import (
    DegenerateVector,
    GatewayError,
    InvalidRequest,
    InvalidText,
    UpstreamRejected,
)
from gateway.ports import Encoding
from gateway.tei.identity import Expectation
from gateway.tei.wire import text_json


@dataclass(slots=True)
class Work:
    """Texts in JSON and their tokens by index, those not refused; rows are NaN until they come."""

    rows: Matrix
    max_tokens: int
    texts: dict[int, bytes] = field(default_factory=dict[int, bytes])
    counts: dict[int, int] = field(default_factory=dict[int, int])
    refused: dict[int, GatewayError] = field(default_factory=dict[int, GatewayError])

    def batches(self, most: int, padded_tokens: int) -> Iterator[list[int]]:
        """Indexes of texts of like length: at most `most`, and `padded_tokens` once padded."""
        indexes = list(self.counts)
        for batch in batches(list(self.counts.values()), padded_tokens=padded_tokens):
            for start in range(0, len(batch), most):
                yield [indexes[place] for place in batch[start : start + most]]

    def request(self, batch: Sequence[int]) -> tuple[list[bytes], int]:
        """Texts of a batch, and their tokens in all."""
        return [self.texts[index] for index in batch], sum(self.counts[index] for index in batch)

    def take(self, batch: Sequence[int], rows: Matrix) -> None:
        """Keep the rows of a batch that are directions, and name the others."""
        for index, row in zip(batch, rows, strict=True):
            if np.isfinite(row).all() and row.any():
                self.rows[index] = row
            else:
                self.refused[index] = DegenerateVector(
                    f"the vector of input {index} has no direction (NaN, infinity or zeros): the "
                    "embedding server answered a broken one; check its dtype and device",
                    index=index,
                )

    def refuse(self, index: int, error: GatewayError) -> None:
        """Name an input that the server refuses alone, although it is well.

        The input is within the model's limit, so the server's own limits are likely too low.
        """
        if isinstance(error, InvalidRequest):
            error.index = index
            self.refused[index] = error
            return
        self.refused[index] = UpstreamRejected(
            f"input {index}, {self.counts[index]} tokens: {error}; the server embeds other texts. "
            f"Give it room for {self.max_tokens} tokens in a text (llama.cpp: --ubatch-size and "
            "--batch-size of that many, --ctx-size that many for each of --parallel)",
            service=SERVICE,
        )

    def encoding(self) -> Encoding:
        tokens = sum(count for index, count in self.counts.items() if index not in self.refused)
        return Encoding(self.rows, tokens, self.refused)


def prepare(texts: Sequence[str], tokens: ExactTokens, expect: Expectation) -> Work:
    """Write the texts as JSON and count them; refuse those that must not be sent. Blocks."""
    work = Work(np.full((len(texts), expect.size), np.nan, np.float32), expect.max_tokens)
    bodies: dict[int, bytes] = {}
    for index, text in enumerate(texts):
        try:
            bodies[index] = _written(text, index)
        except InvalidText as exc:
            work.refused[index] = exc
    counts = tokens.counts([texts[index] for index in bodies])
    for (index, body), count in zip(bodies.items(), counts, strict=True):
        if count > expect.max_tokens:
            work.refused[index] = tokens.too_long(index, count)
        else:
            work.texts[index], work.counts[index] = body, count
    return work


def _written(text: str, index: int) -> bytes:
    if not text:  # some servers refuse it, others answer the vector of the special tokens
        raise InvalidText(f"input {index} is empty; leave it out", index=index, field="text")
    return text_json(text, index)
