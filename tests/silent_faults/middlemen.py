"""Servers that change texts on their way to the model: a proxy, a plugin, somebody's wrapper."""

from collections.abc import Callable, Sequence
from typing import Any

from gateway.encoders.local import LocalEncoder
from gateway.modelserver.engines import EncodeRows
from gateway.modelserver.replies import Rows


def changing(encoder: LocalEncoder, change: Callable[[str], str]) -> dict[str, Any]:
    """Options of a server over a model that reads changed texts; tokens are counted before."""

    async def encode(texts: Sequence[str]) -> Rows:
        limit = encoder.info.max_tokens
        read = [await encoder.cut(change(text), limit) for text in texts]
        return (await encoder.encode(read)).vectors

    return behind(encode, encoder)


def behind(encode: EncodeRows, encoder: LocalEncoder) -> dict[str, Any]:
    """Options of a server that answers what `encode` makes, with the tokenizer of a model."""
    return {"encoder": encode, "tokenizer": encoder.tokenizer}
