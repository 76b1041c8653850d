"""Chunks of a collection to ask about, in an order of chance that a seed decides for good.

A chunk's place is a hash of the seed and its id: asking for more questions later goes on where the
fewer ended, and documents that come or go move no other.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from hashlib import blake2b
from heapq import nsmallest
from typing import Any, Final

from gateway.domain.documents import StoredChunk
from gateway.errors import InvalidRequest
from gateway.evaluation.draft import Draft
from gateway.evaluation.qrels import holds
from gateway.ports import VectorStore

SHORTEST: Final = 80
"""Characters below which a chunk says too little to be asked about."""
FEWEST: Final = 50
"""Chunks drawn in one pass at least: each pass reads the collection, and some will be skipped."""


class Pool:
    """Draws chunks that can be asked about, a few at a time, each once."""

    def __init__(
        self, store: VectorStore, name: str, *, seed: int, warn: Callable[[str], None]
    ) -> None:
        """`warn` is told once of chunks that are left out."""
        self._store: Final = store
        self._name: Final = name
        self._seed: Final = seed
        self._warn: Final = warn
        self._last = b""
        self._told = False
        self.exhausted = False

    async def draw(self, count: int, draft: Draft) -> list[StoredChunk]:
        """Return the next chunks that the draft does not know: one pass, memory for 2 * `count`.

        Fewer only where the collection has no more.

        Raises:
            InvalidRequest: it has no chunk that can be asked about at all.
        """
        drawn: list[tuple[bytes, StoredChunk]] = []
        usable = left_out = 0
        example = ""
        scroll: Any = self._store.scroll(self._name)
        async with aclosing(scroll) as chunks:
            async for stored in chunks:
                if len(stored.chunk.text.strip()) < SHORTEST:
                    continue
                if not holds(stored.chunk.document_id):
                    left_out, example = left_out + 1, example or stored.chunk.document_id
                    continue
                usable += 1
                if (place := self._place(stored)) > self._last and not draft.knows(stored):
                    drawn.append((place, stored))
                    drawn = _first(count, drawn) if len(drawn) > 2 * count else drawn
        self._tell(usable, left_out, example)
        drawn = _first(count, drawn)
        self._last = drawn[-1][0] if drawn else self._last
        self.exhausted = not drawn
        return [stored for _, stored in drawn]

    def _place(self, stored: StoredChunk) -> bytes:
        return blake2b(f"{self._seed} {stored.id.hex}".encode(), digest_size=16).digest()

    def _tell(self, usable: int, left_out: int, example: str) -> None:
        told = (
            f"chunks left out: {left_out}, of documents such as {example!r}: judgments cannot hold "
            "ids with tabs, line breaks or blanks around them; ingest them under other ids"
        )
        if not usable:
            raise InvalidRequest(
                f"collection {self._name!r} has no chunk of {SHORTEST} characters or more to ask "
                f"about; {told if left_out else 'ingest documents first'}"
            )
        if left_out and not self._told:
            self._warn(told)
        self._told = True


async def chunks_to_ask(
    pool: Pool, draft: Draft, want: int, *, fewest: int = FEWEST
) -> AsyncGenerator[StoredChunk, None]:
    """Yield chunks until the draft, which the caller adds to, has `want` questions.

    A chunk that the caller does not ask about is replaced by the next.

    Raises:
        InvalidRequest: the collection has no chunk that can be asked about.
        ConfigurationError: the draft's folder cannot be written.
    """
    while len(draft) < want:
        drawn = await pool.draw(max(want - len(draft), fewest), draft)
        if not drawn:
            return
        draft.require_writable()
        for stored in drawn:
            yield stored
            if len(draft) >= want:
                return


def _first(count: int, drawn: list[tuple[bytes, StoredChunk]]) -> list[tuple[bytes, StoredChunk]]:
    return nsmallest(count, drawn, key=lambda pair: pair[0])
