"""Windows: as many documents as may be in memory together, never the same id twice."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from gateway.domain.documents import Document
from gateway.ingest.items import ReadFailure, ReadItem


@dataclass(slots=True, eq=False)
class Window:
    """Documents to be ingested together, and the failures read between them."""

    documents: list[Document] = field(default_factory=list[Document])
    failures: list[ReadFailure] = field(default_factory=list[ReadFailure])
    ids: set[str] = field(default_factory=set[str])
    weight: int = 0

    def __len__(self) -> int:
        return len(self.documents) + len(self.failures)

    def put(self, item: ReadItem) -> None:
        if isinstance(item, ReadFailure):
            self.failures.append(item)
        else:
            self.documents.append(item)
            self.ids.add(item.id)
            self.weight += _weight(item)


class Windower:
    """Gathers items into windows bounded by their number and characters.

    One document over the bound is a window of its own. An id that is in the window already opens
    the next one, so that the later document wins.
    """

    def __init__(self, *, documents: int, characters: int) -> None:
        self._documents = documents
        self._characters = characters
        self._window = Window()

    def add(self, item: ReadItem) -> Window | None:
        """Take an item; return the window that it closes, which does not hold it."""
        closed = self.flush() if self._closed_by(item) else None
        self._window.put(item)
        return closed

    def flush(self) -> Window | None:
        """Return what is gathered, if anything."""
        full, self._window = self._window, Window()
        return full if len(full) else None

    def gathered(self) -> tuple[str, ...]:
        """Return the documents read into the window that is not closed yet."""
        return tuple(document.id for document in self._window.documents)

    def fill(self, items: Iterator[ReadItem]) -> Window | None:
        """Read until a window is full; None at the end. Blocking: for worker threads."""
        for item in items:
            full = self.add(item)
            if full is not None:
                return full
        return self.flush()

    def _closed_by(self, item: ReadItem) -> bool:
        window = self._window
        if len(window) >= self._documents:
            return True
        if isinstance(item, ReadFailure):
            return False
        heavy = bool(window.documents) and window.weight + _weight(item) > self._characters
        return heavy or item.id in window.ids


async def windows(
    items: AsyncIterable[ReadItem] | Iterable[ReadItem], windower: Windower
) -> AsyncGenerator[Window, None]:
    """Windows of a stream; a plain iterable is read in a worker thread.

    An error of the stream itself is raised after the window that was gathered before it.
    """
    try:
        async with aclosing(_full(items, windower)) as full:
            async for window in full:
                yield window
    except Exception:
        if rest := windower.flush():
            yield rest
        raise
    if rest := windower.flush():
        yield rest


async def _full(
    items: AsyncIterable[ReadItem] | Iterable[ReadItem], windower: Windower
) -> AsyncGenerator[Window, None]:
    if not isinstance(items, AsyncIterable):
        iterator = iter(items)
        while window := await asyncio.to_thread(windower.fill, iterator):
            yield window
        return
    try:
        async for item in items:
            if window := windower.add(item):
                yield window
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()


def _weight(document: Document) -> int:
    metadata = len(str(document.metadata)) if document.metadata else 0
    return len(document.text) + metadata
