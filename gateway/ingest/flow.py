"""Windows on their way: two at a time, never the same document in both."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Final, cast

from gateway.errors import GatewayError
from gateway.events import DocumentDone, Sink
from gateway.ingest.claims import Claims
from gateway.ingest.items import ReadFailure
from gateway.ingest.prepare import Preparer
from gateway.ingest.report import Outcome, Row, Tally
from gateway.ingest.stored import StoredDocuments
from gateway.ingest.windows import Window
from gateway.ingest.write import Writer

ACTIVE: Final = 2


@dataclass(frozen=True, slots=True)
class WindowWork:
    """What is done with one window, while `claims` keeps other ingests from its documents."""

    collection: str
    claims: Claims
    preparer: Preparer
    writer: Writer
    stored: StoredDocuments
    tally: Tally
    sink: Sink

    async def on(self, window: Window) -> None:
        for failure in window.failures:
            self._done(_row(failure))
        async with self.claims.hold(self.collection, window.ids):
            await self._ingest(window)
        self.tally.tell()

    async def _ingest(self, window: Window) -> None:
        drafts = await self.preparer.drafts(window.documents)
        await self.writer.write(drafts)
        for draft in drafts:
            if draft.surplus and not draft.failed:
                await self.stored.cut(draft.id, draft.count)
            self._done(draft.row())
            window.ids.discard(draft.id)

    def _done(self, row: Row) -> None:
        self.tally.add(row)
        if row.outcome is not Outcome.SKIPPED:
            self.sink(DocumentDone(self.collection, row.outcome, row.chunks, row.tokens))


class Flow:
    """Runs `work` on windows: the next is prepared while one is embedded and stored."""

    def __init__(self, work: Callable[[Window], Coroutine[None, None, None]]) -> None:
        self._work = work
        self._active: dict[asyncio.Task[None], Window] = {}
        self._stopped: list[Window] = []

    async def drain(self, stream: AsyncIterator[Window]) -> None:
        """Work off a stream of windows; the first error ends it, when what was begun has ended.

        An error of the stream itself is raised when what it gave before is done.
        """
        try:
            async for window in stream:
                await self._begin(window)
            while self._active:
                await self._settle()
        except Exception:
            if self._active:
                await asyncio.wait(self._active)
            raise
        finally:
            await self._leave()

    def unfinished(self) -> tuple[str, ...]:
        """Documents of windows that did not come to their end, in order."""
        return tuple(
            document.id
            for window in self._stopped
            for document in window.documents
            if document.id in window.ids
        )

    async def _begin(self, window: Window) -> None:
        """Start work when there is room, and no document of it is in a window before it.

        The claims would make it wait as well; waiting here it is not begun when that window fails.
        """
        self._stopped.append(window)
        while len(self._active) >= ACTIVE or any(
            not other.ids.isdisjoint(window.ids) for other in self._active.values()
        ):
            await self._settle()
        self._stopped.remove(window)
        self._active[asyncio.create_task(self._work(window))] = window

    async def _settle(self) -> None:
        """Wait for a window to end; raise its error."""
        done, _ = await asyncio.wait(self._active, return_when=asyncio.FIRST_COMPLETED)
        errors: list[BaseException] = []
        for task in done:
            window = self._active.pop(task)
            error = task.exception()
            if error is not None:
                self._stopped.append(window)
                errors.append(error)
        if errors:
            raise first_error(errors[0])

    async def _leave(self) -> None:
        """Cancel what still runs (the ingest was cancelled) and take every result."""
        for task in self._active:
            task.cancel()
        await asyncio.gather(*self._active, return_exceptions=True)
        self._stopped.extend(self._active.values())
        self._active.clear()


def first_error(error: BaseException) -> BaseException:
    """Return the error inside nested groups: the first of ours, else the first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    leaves = [first_error(inner) for inner in group.exceptions]
    return next((leaf for leaf in leaves if isinstance(leaf, GatewayError)), leaves[0])


def _row(failure: ReadFailure) -> Row:
    return Row(
        outcome=Outcome.SKIPPED if failure.skipped else Outcome.FAILED,
        document_id=None,
        source=failure.source,
        line=failure.line,
        reason=failure.reason,
    )
