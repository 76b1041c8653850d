"""The same text asked twice at once is encoded once."""

import asyncio
import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from gateway.encoders._joining import Part, joined, naming
from gateway.encoders._wrapper import WrappedEncoder
from gateway.errors import GatewayError, UpstreamError
from gateway.events import InputsShared, Sink, discard
from gateway.ports import Encoder, Encoding, Lane

_ROUNDS: Final = 2
"""How many flights that fail a call follows before it asks for itself alone."""


class _Flight:
    """Texts on their way to the encoder, all different; `landed` says that the outcome is known."""

    __slots__ = ("_rows", "encoding", "error", "followed", "landed", "texts")

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts: Final = list(texts)
        self.landed: Final = asyncio.Event()
        self.followed = False
        self.encoding: Encoding | None = None
        self.error: GatewayError | None = None
        self._rows: dict[str, int] | None = None

    @property
    def rows(self) -> dict[str, int]:
        """The row of each text; made when somebody follows, which for bulk is seldom."""
        if self._rows is None:
            self._rows = {text: row for row, text in enumerate(self.texts)}
        return self._rows


class SingleFlightEncoder(WrappedEncoder):
    """Sends each distinct text once while it is in flight; all who asked get its row.

    A call leads the texts that nobody has in flight and follows other calls for the rest. It lands
    its own texts before it waits for others, so calls cannot wait for each other in a circle.
    A query never follows an ingest, which it would have to wait for.

    A flight that is lost, because its leader was cancelled or failed, is led again by one of those
    who followed. When a second one fails, its error reaches those who asked for all of its
    texts; the others, to whom somebody else's text may have done this, ask for themselves.
    """

    def __init__(self, encoder: Encoder, *, sink: Sink = discard) -> None:
        super().__init__(encoder)
        self._sink: Final = sink
        self._flying: Final[dict[Lane, dict[str, _Flight]]] = {lane: {} for lane in Lane}

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        """Encode texts; `Encoding.tokens` counts each of them, duplicates too."""
        return await self._encode(texts, lane, _ROUNDS)

    async def _encode(self, texts: Sequence[str], lane: Lane, rounds: int) -> Encoding:
        distinct = dict.fromkeys(texts)
        followed = self._in_flight(distinct, lane) if rounds else {}
        if not followed and len(distinct) == len(texts):
            return await self._lead(texts, lane, register=rounds > 0)
        self._sink(InputsShared(len(texts) - len(distinct) + len(followed)))
        parts: list[Part] = []
        own = [text for text in distinct if text not in followed]
        if own:
            with naming(_places(texts, own)):
                parts.append(_part(own, await self._lead(own, lane, register=rounds > 0)))
        landed, lost, failed = await self._follow(followed, last=rounds == 1)
        parts += landed
        if lost:
            with naming(_places(texts, lost)):
                parts.append(_part(lost, await self._encode(lost, lane, rounds - failed)))
        return await joined(texts, parts, size=self.info.size, count_tokens=self.count_tokens)

    async def _follow(
        self, followed: Mapping[str, _Flight], *, last: bool
    ) -> tuple[list[Part], list[str], bool]:
        """Wait for flights; return what they brought, the texts lost, and whether one failed."""
        failed = False
        parts: list[Part] = []
        lost: list[str] = []
        for flight in dict.fromkeys(followed.values()):
            wanted = [text for text, its in followed.items() if its is flight]
            await flight.landed.wait()
            if flight.encoding is not None:
                parts.append(Part({text: flight.rows[text] for text in wanted}, flight.encoding))
            elif (
                last
                and len(wanted) == len(flight.texts)
                and isinstance(flight.error, UpstreamError)
            ):
                raise copy.copy(flight.error) from flight.error
            else:
                lost += wanted
                failed |= flight.error is not None
        return parts, lost, failed

    def _in_flight(self, texts: dict[str, None], lane: Lane) -> dict[str, _Flight]:
        """Which of the texts another call has in flight, in a lane that this one may wait for."""
        found: dict[str, _Flight] = {}
        for flying in (self._flying[Lane.QUERY], self._flying[lane]):
            if not flying.keys().isdisjoint(texts.keys()):
                found.update((text, flying[text]) for text in texts if text in flying)
        for flight in found.values():
            flight.followed = True
        return found

    async def _lead(self, texts: Sequence[str], lane: Lane, *, register: bool) -> Encoding:
        """Encode texts that differ, for whoever asks meanwhile too."""
        if not register:
            return await self._encoder.encode(texts, lane=lane)
        flight = _Flight(texts)
        flying = self._flying[lane]
        flying.update(dict.fromkeys(texts, flight))
        try:
            flight.encoding = encoding = await self._encoder.encode(flight.texts, lane=lane)
        except GatewayError as exc:
            flight.error = exc
            raise
        finally:
            for text in flight.texts:
                del flying[text]
            flight.landed.set()
        if flight.followed:  # the caller may write into its rows before the others copied theirs
            return replace(encoding, rows=encoding.rows.copy())
        return encoding


def _part(texts: Sequence[str], encoding: Encoding) -> Part:
    return Part({text: row for row, text in enumerate(texts)}, encoding)


def _places(texts: Sequence[str], some: Iterable[str]) -> list[int]:
    """Return the first place of each of `some` in `texts`."""
    first = {text: place for place, text in reversed(list(enumerate(texts)))}
    return [first[text] for text in some]
