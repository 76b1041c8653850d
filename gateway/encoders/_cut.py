"""Where a text ends when it is cut to a number of tokens: one rule for every encoder."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

Span: TypeAlias = tuple[int, int] | None
"""The characters a token covers, as start and end; None for a special token."""
Spans: TypeAlias = Callable[[str], Awaitable[Sequence[Span]]]
"""The tokens of a text, special tokens included, in order."""


async def cut(text: str, tokens: int, spans: Spans) -> str:
    """Return the text, or the prefix that ends where its last token that fits ends.

    The prefix is counted, and made shorter where it reads as more tokens than it had inside the
    text, so that it never has more than `tokens`. It ends between two characters (code points), never
    inside one that is several tokens; a cluster of characters, such as a letter and its combining
    accent, may be parted.
    """
    found = await spans(text)
    if len(found) <= tokens:
        return text
    room = tokens
    while True:
        kept = text[: _end(found, room)]
        over = len(await spans(kept)) - tokens if kept else 0
        if over <= 0:
            return kept
        room -= over


def _end(spans: Sequence[Span], room: int) -> int:
    """Return where the text of the tokens that fit into `room` ends, special tokens counted."""
    content = [span for span in spans if span is not None]
    count = room - (len(spans) - len(content))
    if count <= 0:
        return 0
    # the next token may begin inside the last one: both are parts of one character
    return min(content[count - 1][1], content[count][0])
