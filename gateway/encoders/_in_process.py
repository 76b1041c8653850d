"""What the models in this process share: exact counts, batches of like length, one worker thread."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from tokenizers import Tokenizer

from gateway.domain.vectors import Matrix
from gateway.encoders._cut import cut
from gateway.encoders._tokens import ExactTokens, batches
from gateway.encoders._worker import Worker
from gateway.ports import EncoderInfo, Encoding, Health, Lane

Forward = Callable[[list[str]], Matrix]
"""One batch through the model, in the worker thread: raw float32 rows, shape (n, full size)."""


class InProcessEncoder:
    """Implements `gateway.ports.Encoder` around a forward pass."""

    def __init__(
        self,
        info: EncoderInfo,
        tokens: ExactTokens,
        worker: Worker,
        *,
        forward: Forward,
        batch_tokens: int,
    ) -> None:
        """Take over loaded parts; `batch_tokens` bounds the padded tokens of a forward pass."""
        self.info: Final = info
        self._tokens: Final = tokens
        self._worker: Final = worker
        self._forward: Final = forward
        self._batch_tokens: Final = batch_tokens

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, which neither cuts nor pads; it must not be changed."""
        return self._tokens.tokenizer

    async def encode(  # the lane says nothing here: calls take turns
        self,
        texts: Sequence[str],
        *,
        lane: Lane = Lane.QUERY,  # noqa: ARG002
    ) -> Encoding:
        """Encode batches of like length; other calls get their turn between two of them."""
        counts = await self._worker.run(self._tokens.counts, texts)
        refused = self._tokens.refusals(counts)
        sound = [index for index in range(len(texts)) if index not in refused]
        lengths = [counts[index] for index in sound]
        rows = np.full((len(texts), self.info.size), np.nan, np.float32)
        for batch in batches(lengths, padded_tokens=self._batch_tokens):
            indexes = [sound[place] for place in batch]
            rows[indexes] = await self._worker.run(self._forward, [texts[i] for i in indexes])
        read = [0 if index in refused else count for index, count in enumerate(counts)]
        return Encoding(rows, sum(read), {**refused}, read)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return await self._worker.run(self._tokens.counts, texts)

    async def cut(self, text: str, tokens: int) -> str:
        return await cut(text, tokens, lambda part: self._worker.run(self._tokens.spans, part))

    def token_counter(self) -> Callable[[str], int]:
        return self._tokens.counter()

    async def health(self) -> Health:
        return Health(self.info.kind, ok=not self._worker.closed)

    async def aclose(self) -> None:
        await self._worker.aclose()
