"""Is this encoder the one that was recorded? For all but TEI, whose replicas are each examined."""

from typing import Final

import numpy as np

from gateway.domain.recording import Recording
from gateway.errors import (
    IntegrityError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.ports import Encoder, Lane
from gateway.tei.goldens import RECORDED_COSINE

_AWAY: Final = (UpstreamUnavailable, UpstreamTimeout, UpstreamOverloaded)


async def require_recorded(encoder: Encoder, recording: Recording) -> None:
    """Compare tokens and vectors with a recording; a server that is away now is not compared.

    Raises:
        IntegrityError: other tokens or other vectors than the reference's.
    """
    texts = [item.rendered for item in recording.items]
    try:
        counts = await encoder.count_tokens(texts)
        raw = (await encoder.encode(texts, lane=Lane.INGEST)).vectors
    except _AWAY:
        return
    kind, wanted = encoder.info.kind, [len(item.token_ids) for item in recording.items]
    for item, found, expected in zip(recording.items, counts, wanted, strict=True):
        if found != expected:
            raise IntegrityError(
                f"encoder {kind!r} reads a recorded text of task {item.task!r} as {found} tokens, "
                f"the reference as {expected}: it has another tokenizer"
            )
    unit = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), np.float32(1e-30))
    worst = float(np.sum(unit * recording.vectors, axis=1).min())
    bar = RECORDED_COSINE.get(encoder.info.dtype, RECORDED_COSINE["float32"])
    if not worst >= bar:
        raise IntegrityError(
            f"encoder {kind!r} gives a recorded text a vector of cosine {worst:.5f} to the "
            f"reference's (at least {bar}): it runs another model, revision or quantisation; serve "
            "the recorded model, or record it anew if the change is meant"
        )
