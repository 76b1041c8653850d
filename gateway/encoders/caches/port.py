"""What a cache of vectors is: bytes under keys, gone at any time. Read this first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

KEY_BYTES: Final = 40


@dataclass(frozen=True, slots=True)
class Stored:
    """What one `put_many` did: entries dropped for room, and the bytes held now where known."""

    evicted: int = 0
    held_bytes: int | None = None


class Cache(Protocol):
    """Bytes under keys of `KEY_BYTES`. What was put may be missing later.

    Values are what was put, as far as the backend can tell: who reads one checks it.
    """

    @property
    def kind(self) -> str: ...

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key, in order, or None.

        Raises:
            UpstreamError: the backend failed.
        """
        ...

    async def put_many(self, entries: Mapping[bytes, bytes]) -> Stored:
        """Keep values, each replacing an older one.

        Raises:
            UpstreamError: the backend failed.
        """
        ...

    async def aclose(self) -> None:
        """Close it; twice is no error."""
        ...
