"""Inputs that get no vector, named by their place among all inputs of the caller."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from gateway.errors import DegenerateVector, GatewayError, InvalidRequest, UpstreamError

T = TypeVar("T")

_PLACE: Final = re.compile(r"\binput \d+\b")


class Refusals:
    """Reasons by index. Unless a partial answer is wanted, the first one is raised."""

    def __init__(self, *, partial: bool) -> None:
        self.errors: dict[int, GatewayError] = {}
        self._partial = partial

    def add(self, index: int, error: GatewayError) -> None:
        if not self._partial:
            raise error
        self.errors[index] = error

    async def sparing(
        self, texts: dict[int, str], call: Callable[[Sequence[str]], Awaitable[T]]
    ) -> T | None:
        """Call on texts; one that fails the whole call by its index is refused, the rest tried again.

        Refused texts are removed from `texts`. None: all of them were.
        """
        while texts:
            try:
                return await call(list(texts.values()))
            except InvalidRequest as exc:
                if exc.index is None:
                    raise
                index = list(texts)[exc.index]
                del texts[index]
                self.add(index, renamed(exc, index))
        return None


def renamed(error: GatewayError, index: int) -> GatewayError:
    """Return an encoder's error about one text, with the place that the text has for the caller."""
    message, named = _PLACE.subn(f"input {index}", str(error), count=1)
    if not named:
        message = f"input {index}: {message}"
    match error:
        case InvalidRequest():
            copy: GatewayError = type(error)(message, field=error.field, index=index)
        case DegenerateVector():
            copy = DegenerateVector(message, index=index)
        case UpstreamError():
            after = error.retry_after_seconds
            copy = type(error)(message, service=error.service, retry_after_seconds=after)
        case _:
            return error
    copy.__cause__ = error
    return copy
