"""The texts of a call as batches that fit one request each, of like length, longest first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import GatewayError, InputTooLong, InvalidText
from gateway.tei.wire import text_json

ENVELOPE_BYTES: Final = 256
"""More than a request body holds beside its texts."""
WINDOW_TOKENS: Final = 257
"""TEI skips the sliding-window mask in a forward pass whose texts are all of one length above this
(TEI issue 882); texts that could be so long are sent in an order that mixes their lengths."""


@dataclass(frozen=True, slots=True)
class Room:
    """What one request may hold: inputs, bytes of JSON, and padded tokens of a forward pass."""

    inputs: int
    payload_bytes: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Texts of one request: the place of each in its call, its JSON, and an estimate of the work.

    `tokens` are estimated from bytes and padded to the longest text.
    """

    places: Sequence[int]
    texts: Sequence[bytes]
    tokens: int

    def __len__(self) -> int:
        return len(self.texts)

    def halves(self) -> tuple["Batch", "Batch"]:
        middle = len(self) // 2
        return self.only(range(middle)), self.only(range(middle, len(self)))

    def only(self, rows: Iterable[int]) -> "Batch":
        """The batch of some of its texts, by their rows in this one."""
        kept = list(rows)
        share = self.tokens * len(kept) // max(1, len(self))
        return Batch([self.places[i] for i in kept], [self.texts[i] for i in kept], share)


def plan(
    texts: Sequence[str], room: Room, bytes_per_token: float
) -> tuple[list[Batch], dict[int, GatewayError]]:
    """Cut a call into batches, and name the texts that no request can carry.

    Token counts are bounded by bytes (a text has at least as many bytes as tokens) and estimated by
    `bytes_per_token`, so that planning costs less than sending.
    """
    encoded, refused = _encode(texts, room.payload_bytes - ENVELOPE_BYTES)
    order = sorted(encoded, key=lambda place: len(encoded[place]), reverse=True)
    batches: list[Batch] = []
    start = 0
    while start < len(order):
        longest = len(encoded[order[start]])
        tokens = max(1.0, longest / bytes_per_token)
        most = min(
            room.inputs,
            int(room.tokens / tokens),
            (room.payload_bytes - ENVELOPE_BYTES) // (longest + 1),
        )
        places = order[start : start + max(1, most)]
        start += len(places)
        if longest > WINDOW_TOKENS:
            places = _mixed(places)
        batches.append(
            Batch(places, [encoded[place] for place in places], int(tokens * len(places)))
        )
    return batches, refused


def consecutive(texts: Sequence[str], room: Room) -> list[list[bytes]]:
    """Cut a list into parts in its order, each within the inputs and bytes of one request.

    Raises:
        InvalidText, InputTooLong: a text that no request can carry, by index.
    """
    most = room.payload_bytes - ENVELOPE_BYTES
    encoded, refused = _encode(texts, most, blank=True)
    if refused:
        raise refused[min(refused)]
    parts: list[list[bytes]] = []
    used = 0
    for body in encoded.values():
        if not parts or len(parts[-1]) == room.inputs or used + len(body) + 1 > most:
            parts.append([])
            used = 0
        parts[-1].append(body)
        used += len(body) + 1
    return parts


def _encode(
    texts: Sequence[str], room: int, *, blank: bool = False
) -> tuple[dict[int, bytes], dict[int, GatewayError]]:
    encoded: dict[int, bytes] = {}
    refused: dict[int, GatewayError] = {}
    for place, text in enumerate(texts):
        try:
            body = text_json(text, place)
        except InvalidText as exc:
            refused[place] = exc
            continue
        if not text and not blank:
            refused[place] = InvalidText(f"input {place} is empty", index=place, field="text")
        elif len(body) >= room:
            why = f"it has {len(body)} bytes, one request takes {room}"
            refused[place] = too_long(place, why)
        else:
            encoded[place] = body
    return encoded, refused


def _mixed(places: Sequence[int]) -> list[int]:
    """Longest, shortest, second longest, second shortest, ...: neighbours differ in length."""
    mixed: list[int] = []
    for near, far in zip(range(len(places)), reversed(range(len(places))), strict=True):
        if near > far:
            break
        mixed.append(places[near])
        if near != far:
            mixed.append(places[far])
    return mixed


def too_long(place: int, why: str) -> InputTooLong:
    return InputTooLong(
        f"input {place} is too long for one request to TEI ({why}); split the text",
        index=place,
        field="text",
    )
