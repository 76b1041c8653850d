"""One answer put together from several: rows, refusals and exact token totals.

A wrapper that asks an encoder for some of a call's texts, or takes them from another call's answer,
must answer as if the encoder had been asked for all of them.
"""

import copy
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import mul
from typing import TypeVar

import numpy as np

from gateway.errors import DegenerateVector, GatewayError, InvalidRequest
from gateway.ports import Encoding

CountTokens = Callable[[Sequence[str]], Awaitable[list[int]]]
"""`Encoder.count_tokens`."""

E = TypeVar("E", bound=GatewayError)


@dataclass(frozen=True, slots=True)
class Part:
    """What was encoded together: the answer, and the row of each text that is wanted of it."""

    rows: Mapping[str, int]
    encoding: Encoding


async def joined(
    texts: Sequence[str], parts: Sequence[Part], *, size: int, count_tokens: CountTokens
) -> Encoding:
    """Answer `texts`, each of which is in exactly one part, as one encoding in their order.

    Rows are copied. Tokens are exact: where a part knows only its total and is not used as a whole,
    the texts in question are counted.

    Raises:
        UpstreamError: tokens had to be counted by a server and it failed.
    """
    rows = np.empty((len(texts), size), np.float32)
    refused: dict[int, GatewayError] = {}
    counts: list[int] | None = [0] * len(texts)
    tokens = 0
    for part in parts:
        places = [place for place, text in enumerate(texts) if text in part.rows]
        sources = [part.rows[texts[place]] for place in places]
        rows[places] = part.encoding.rows[sources]
        tokens += await _tokens(part, [texts[place] for place in places], count_tokens)
        each = part.encoding.counts
        counts = None if each is None else counts
        for place, source in zip(places, sources, strict=True):
            if counts is not None and each is not None:
                counts[place] = each[source]
            if source in part.encoding.refused:
                error = part.encoding.refused[source]
                refused[place] = renumbered(error, source, place)
    return Encoding(rows, tokens, refused, counts)


async def _tokens(part: Part, used: Sequence[str], count_tokens: CountTokens) -> int:
    """Return the tokens of `used`, texts of one part: from what it knows as far as that goes."""
    encoding = part.encoding
    if encoding.counts is not None:
        return sum(encoding.counts[part.rows[text]] for text in used)
    times = Counter(used)
    whole = min(times.values()) if len(times) == len(encoding.rows) else 0
    rest = {
        text: count - whole
        for text, count in times.items()
        if count > whole and part.rows[text] not in encoding.refused
    }
    known = encoding.tokens * whole
    if not rest:
        return known
    counted = await count_tokens(list(rest))
    return known + sum(map(mul, rest.values(), counted))


def renumbered(error: E, old: int, new: int) -> E:
    """Return a copy of a refusal that names another place: each caller raises one of its own."""
    named = copy.copy(error)
    if isinstance(named, InvalidRequest | DegenerateVector):
        named.index = new
    said = re.sub(rf"\b(input|row) {old}\b", rf"\1 {new}", str(error), count=1)
    named.args = (said, *error.args[1:])
    return named


@contextmanager
def naming(asked: Sequence[int]) -> Generator[None, None, None]:
    """Let an encoder's error name the caller's place of an input; `asked` maps ours to theirs."""
    try:
        yield
    except (InvalidRequest, DegenerateVector) as exc:
        old = exc.index
        if old is None or not 0 <= old < len(asked) or asked[old] == old:
            raise
        raise renumbered(exc, old, asked[old]) from exc
