"""Cutting a text by the tokens that a TEI server reads: its byte offsets in characters."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import numpy as np

from gateway.encoders._cut import Span, cut

ByteSpans: TypeAlias = Callable[[str], Awaitable[Sequence[Span]]]
"""What `/tokenize` says of one text, special tokens included: bytes of UTF-8 from start to stop."""


async def cut_by_server(text: str, tokens: int, byte_spans: ByteSpans) -> str:
    """Return the text, or its prefix of at most so many tokens, as `cut` defines it."""

    async def spans(part: str) -> Sequence[Span]:
        return in_characters(part, await byte_spans(part))

    return await cut(text, tokens, spans)


def in_characters(text: str, spans: Sequence[Span]) -> Sequence[Span]:
    """Translate byte offsets into character offsets; one inside a character becomes its start."""
    if text.isascii():
        return spans
    data = np.frombuffer(text.encode(), np.uint8)
    first_bytes = (data & 0xC0) != 0x80
    place = np.append(np.cumsum(first_bytes) - 1, len(text)).tolist()
    last = len(data)
    return [
        None if span is None else (place[min(span[0], last)], place[min(span[1], last)])
        for span in spans
    ]
