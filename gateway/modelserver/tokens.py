"""Tokens as `/tokenize` shows them, from a real tokenizer or from counts alone."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final, Protocol
from zlib import crc32

from tokenizers import Encoding, Tokenizer

from gateway.ports import Encoder

BOS: Final = 2
EOS: Final = 1
_FIRST_WORD: Final = 5
_VOCABULARY: Final = 262_144


@dataclass(frozen=True, slots=True)
class Token:
    """One item of `/tokenize`; `start` and `stop` are byte offsets, None for special tokens."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class Tokenize(Protocol):
    async def __call__(self, texts: Sequence[str], specials: bool) -> list[list[Token]]: ...


def real_tokens(tokenizer: Tokenizer) -> Tokenize:
    """Tokens of a real tokenizer, which must neither cut nor pad."""

    def encode(texts: Sequence[str], specials: bool) -> list[list[Token]]:
        encodings = tokenizer.encode_batch(list(texts), add_special_tokens=specials)
        return [_tokens(text, one) for text, one in zip(texts, encodings, strict=True)]

    async def tokenize(texts: Sequence[str], specials: bool) -> list[list[Token]]:
        return await asyncio.to_thread(encode, texts, specials)

    return tokenize


def counted_tokens(encoder: Encoder) -> Tokenize:
    """As many tokens as an encoder counts, each standing for an equal share of the bytes."""

    async def tokenize(texts: Sequence[str], specials: bool) -> list[list[Token]]:
        counts = await encoder.count_tokens(texts)
        return [
            framed(_shares(text, max(0, count - 2)), specials=specials)
            for text, count in zip(texts, counts, strict=True)
        ]

    return tokenize


def pattern_tokens(pattern: re.Pattern[str]) -> Tokenize:
    """A token per match of a pattern, between a BOS and an EOS; ids are made from the words."""

    async def tokenize(texts: Sequence[str], specials: bool) -> list[list[Token]]:
        return [framed(_matches(pattern, text), specials=specials) for text in texts]

    return tokenize


def kept(tokens: Sequence[Token], limit: int, *, left: bool) -> list[Token]:
    """Cut tokens to `limit`: special tokens at the ends stay, content goes from one side."""
    head = next((place for place, token in enumerate(tokens) if not token.special), len(tokens))
    if head == len(tokens):
        return list(tokens)
    tail = next(place for place, token in enumerate(reversed(tokens)) if not token.special)
    content = tokens[head : len(tokens) - tail]
    room = max(0, limit - head - tail)
    chosen = content[len(content) - room :] if left else content[:room]
    return [*tokens[:head], *chosen, *tokens[len(tokens) - tail :]]


def text_of(text: str, tokens: Sequence[Token], *, left: bool) -> str:
    """What is left of `text` when only `tokens` are kept and it is cut from one side."""
    edges = [edge for token in tokens for edge in (token.start, token.stop) if edge is not None]
    if not edges:
        return ""
    data = text.encode()
    return (data[edges[0] :] if left else data[: edges[-1]]).decode(errors="ignore")


def framed(tokens: list[Token], *, specials: bool) -> list[Token]:
    if not specials:
        return tokens
    return [Token(BOS, "<bos>", True, None, None), *tokens, Token(EOS, "<eos>", True, None, None)]


def _tokens(text: str, encoding: Encoding) -> list[Token]:
    data = text.encode()
    at = _byte_offsets(text)
    parts = zip(
        encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True
    )
    return [
        Token(id_, word, True, None, None)
        if special
        else Token(
            id_, data[at(start) : at(stop)].decode(errors="replace"), False, at(start), at(stop)
        )
        for id_, word, special, (start, stop) in parts
    ]


def _byte_offsets(text: str) -> Callable[[int], int]:
    """Map offsets in characters to offsets in bytes of UTF-8."""
    if text.isascii():
        return int
    return list(accumulate((len(char.encode()) for char in text), initial=0)).__getitem__


def _matches(pattern: re.Pattern[str], text: str) -> list[Token]:
    at = _byte_offsets(text)
    return [
        Token(_word_id(found[0]), found[0], False, at(found.start()), at(found.end()))
        for found in pattern.finditer(text)
    ]


def _word_id(word: str) -> int:
    return _FIRST_WORD + crc32(word.encode()) % (_VOCABULARY - _FIRST_WORD)


def _shares(text: str, count: int) -> list[Token]:
    size = len(text.encode())
    edges = [size * place // count for place in range(count + 1)] if count else []
    return [
        Token(_FIRST_WORD + index, "", False, start, stop)
        for index, (start, stop) in enumerate(pairwise(edges))
    ]
