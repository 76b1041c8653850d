"""Who may write which documents: concurrent ingests of one process never mix two versions of one."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, eq=False)
class _Claim:
    collection: str
    ids: frozenset[str]
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def meets(self, other: "_Claim") -> bool:
        return self.collection == other.collection and not self.ids.isdisjoint(other.ids)


class Claims:
    """Claims to documents by collection and id, granted in the order they were made.

    A claim names all its documents at once and waits only for earlier claims, so no two wait for
    each other. One event loop; another process is not seen.
    """

    def __init__(self) -> None:
        self._claims: list[_Claim] = []

    @asynccontextmanager
    async def hold(
        self, collection: str, document_ids: Iterable[str]
    ) -> AsyncGenerator[None, None]:
        """Wait until no earlier claim has any of the documents, and keep them until the end."""
        claim = _Claim(collection, frozenset(document_ids))
        earlier = [other for other in self._claims if other.meets(claim)]
        self._claims.append(claim)
        try:
            for other in earlier:
                await other.released.wait()
            yield
        finally:
            self._claims.remove(claim)
            claim.released.set()
