"""A document on its way into a collection."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.domain.documents import Chunk, Document
from gateway.errors import GatewayError
from gateway.ingest.chunking import ChunkPlan
from gateway.ingest.report import Outcome, Row


@dataclass(slots=True)
class Draft:
    """What is known so far. `known`: the collection had it before; `surplus`: with more chunks.

    `head` is set when chunk 0 is acknowledged, or the document given up. Later chunks wait for it:
    where any chunk of a document is stored, chunk 0 is, and tells how many were meant.
    """

    document: Document
    content_hash: str = ""
    plan: ChunkPlan | None = None
    known: bool = False
    surplus: bool = False
    unchanged: bool = False
    written: int = 0
    tokens: int = 0
    reason: str = ""
    head: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def id(self) -> str:
        return self.document.id

    @property
    def failed(self) -> bool:
        return bool(self.reason)

    @property
    def count(self) -> int:
        """How many chunks the document has."""
        return len(self.plan) if self.plan is not None else 0

    def fail(self, error: GatewayError) -> None:
        """Give the document up; the first reason stays."""
        self.reason = self.reason or f"{error.slug}: {error}"
        self.head.set()

    def row(self) -> Row:
        return Row(
            outcome=self._outcome(),
            document_id=self.id,
            source=self.document.source,
            line=self.document.line,
            chunks=self.written,
            tokens=self.tokens,
            reason=self._reason(),
        )

    def _outcome(self) -> Outcome:
        if self.failed:
            return Outcome.FAILED
        if self.unchanged:
            return Outcome.UNCHANGED
        if not self.count:
            return Outcome.EMPTY
        return Outcome.UPDATED if self.known else Outcome.ADDED

    def _reason(self) -> str:
        if self.failed and self.written:
            return f"{self.reason} ({self.written} of its {self.count} chunks were stored)"
        if not self.failed and not self.unchanged and not self.count:
            return "no text"
        return self.reason


@dataclass(frozen=True, slots=True)
class Slice:
    """Some neighbouring chunks of one document."""

    draft: Draft
    start: int
    stop: int

    def chunks(self) -> list[Chunk]:
        plan = self.draft.plan
        return [] if plan is None or self.draft.failed else plan.chunks(self.start, self.stop)


def batches(drafts: Iterable[Draft], size: int) -> Iterator[list[Slice]]:
    """Deal out the chunks of documents, in order, `size` at a time."""
    batch: list[Slice] = []
    room = size
    for draft in drafts:
        start = 0
        while start < draft.count:
            stop = min(draft.count, start + room)
            batch.append(Slice(draft, start, stop))
            room -= stop - start
            start = stop
            if not room:
                yield batch
                batch, room = [], size
    if batch:
        yield batch
