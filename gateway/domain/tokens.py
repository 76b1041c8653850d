"""A bound on tokens that needs no tokenizer."""

from typing import Final

SPECIAL_TOKENS: Final = 8
"""More special tokens than any known tokenizer adds to a text (Gemma and BERT add 2)."""


def may_exceed(text_bytes: int, limit: int) -> bool:
    """Tell whether a text of so many bytes of UTF-8 could have more than `limit` tokens.

    A token covers at least one byte; special tokens come on top.
    """
    return text_bytes + SPECIAL_TOKENS > limit
