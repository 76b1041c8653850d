"""One call of a caller: where the answers to its batches are put together."""

from typing import Final

import numpy as np

from gateway.errors import DegenerateVector, GatewayError, InvalidRequest, UpstreamError
from gateway.ports import Encoding, Lane
from gateway.tei.answers import Embedded
from gateway.tei.batches import Batch, too_long
from gateway.tei.refusals import SERVICE, BackendFailed, InputRejected, TooMuchAtOnce

BLAMES_AN_INPUT: Final = (InvalidRequest, TooMuchAtOnce, InputRejected, BackendFailed)
"""Refusals of a batch for which one of its texts may be to blame."""


class Call:
    """Rows are written where they belong as they come: nothing is collected and joined at the end."""

    def __init__(self, count: int, size: int, lane: Lane) -> None:
        self.lane: Final = lane
        self._rows = np.empty((count, size), np.float32)
        self._tokens = 0
        self._refused: dict[int, GatewayError] = {}

    def take(self, batch: Batch, answer: Embedded, *, counted: bool = False) -> None:
        """Keep the good rows of an answer, and its tokens unless they were `counted` before."""
        self._tokens += 0 if counted else answer.tokens
        self._rows[batch.places] = answer.rows

    def refuse(self, place: int, error: GatewayError) -> None:
        """Give up one input."""
        self._refused[place] = _named(error, place)

    def encoding(self) -> Encoding:
        """All that came."""
        if self._refused:
            self._rows[list(self._refused)] = np.nan
        counts = [self._tokens] if len(self._rows) == 1 else None
        return Encoding(self._rows, self._tokens, self._refused, counts)


def _named(error: GatewayError, place: int) -> GatewayError:
    """The same error, about one input of the call."""
    if isinstance(error, TooMuchAtOnce):
        return too_long(place, str(error))
    if isinstance(error, DegenerateVector) or getattr(error, "index", None) == place:
        return error
    message = f"input {place}: {error}"
    if isinstance(error, InvalidRequest):
        return type(error)(message, field=error.field, index=place)
    if isinstance(error, UpstreamError):
        return InputRejected(message, service=SERVICE)
    return error
