"""Does a server read a long text to its end? Every token of nearly the whole context is counted."""

from collections.abc import Awaitable, Callable
from typing import Final

from gateway.tei.identity import ADVISED, Expectation, refuse
from gateway.tei.wire import Info

SPARE_TOKENS: Final = 16
"""What the text leaves free of the context, for specials."""
WORD: Final = "a "


async def longest_text(
    count: Callable[[str], Awaitable[int]], info: Info, expect: Expectation
) -> tuple[str, int]:
    """Return a text of nearly as many tokens as server and model read, and its tokens by `count`."""
    limit = min(
        info.max_input_length, expect.max_tokens, info.max_batch_tokens or expect.max_tokens
    )
    words = max(1, limit - SPARE_TOKENS)
    tokens = await count(WORD * words)
    if tokens > limit:  # more than one token a word
        words = max(1, words * (limit - SPARE_TOKENS) // tokens)
        tokens = await count(WORD * words)
    return WORD * words, tokens


def require_whole(where: str, read: int, tokens: int) -> None:
    """Refuse a server by the tokens it read of a long text that has so many.

    Raises:
        UnsupportedServer: it read the beginning alone.
    """
    if read < tokens:
        refuse(
            where,
            f"read {read} tokens of a text of {tokens}: it cuts long texts without a word, although "
            "it does not say that it would",
            f"use TEI {ADVISED}, started with --auto-truncate false, and nothing between that cuts",
        )
