"""Is this encoder the one that was recorded? For all but TEI, whose replicas are each examined."""

from typing import Final

from gateway.domain.recording import Recording
from gateway.domain.vectors import shorten
from gateway.errors import (
    IntegrityError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.ports import Encoder, Lane
from gateway.tei.goldens import bar_of, worst_cosine

_AWAY: Final = (UpstreamUnavailable, UpstreamTimeout, UpstreamOverloaded)


async def require_recorded(encoder: Encoder, recording: Recording) -> None:
    """Compare tokens and vectors with a recording; a server that is away now is not compared.

    Raises:
        IntegrityError: other tokens or other vectors than the reference's.
    """
    await require_recorded_tokens(encoder, recording)
    try:
        raw = (await encoder.encode(_texts(recording), lane=Lane.INGEST)).vectors
    except _AWAY:
        return
    cosine, _ = worst_cosine(shorten(raw, recording.size), recording.vectors)
    bar = bar_of(encoder.info.dtype)
    if not cosine >= bar:
        raise IntegrityError(
            f"encoder {encoder.info.kind!r} gives a recorded text a vector of cosine {cosine:.5f} to "
            f"the reference's (at least {bar}): it runs another model, revision or quantisation; serve "
            "the recorded model, or record it anew if the change is meant"
        )


async def require_recorded_tokens(encoder: Encoder, recording: Recording) -> None:
    """Compare token counts with a recording; a server that is away now is not compared.

    Raises:
        IntegrityError: other tokens than the reference's.
    """
    try:
        counts = await encoder.count_tokens(_texts(recording))
    except _AWAY:
        return
    for item, found in zip(recording.items, counts, strict=True):
        if found != len(item.token_ids):
            raise IntegrityError(
                f"encoder {encoder.info.kind!r} reads a recorded text of task {item.task!r} as "
                f"{found} tokens, the reference as {len(item.token_ids)}: it has another tokenizer"
            )


def _texts(recording: Recording) -> list[str]:
    return [item.rendered for item in recording.items]
