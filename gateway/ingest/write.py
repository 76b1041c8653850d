"""Drafts into the store: batches embedded and upserted side by side, a bad document set apart."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.errors import (
    DegenerateVector,
    GatewayError,
    InvalidRequest,
    UpstreamError,
    UpstreamRejected,
)
from gateway.ingest.draft import Draft, Slice, batches
from gateway.ingest.report import Tally
from gateway.ports import VectorStore

BLAMES_AN_INPUT: Final = (InvalidRequest, DegenerateVector, UpstreamRejected)
"""Errors that a document can cause; any other ends the ingest."""


class Writer:
    """Embeds and stores chunks, at most `in_flight` batches at once over all windows."""

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        spec: CollectionSpec,
        tally: Tally,
        *,
        batch: int,
        in_flight: int,
    ) -> None:
        self._embedder = embedder
        self._store = store
        self._spec = spec
        self._tally = tally
        self._batch = batch
        self._slots = asyncio.Semaphore(in_flight)

    async def write(self, drafts: Iterable[Draft]) -> None:
        """Return when every chunk is acknowledged or its document has failed.

        Raises:
            ExceptionGroup: of what ended the ingest.
        """
        async with asyncio.TaskGroup() as group:
            for batch in batches(drafts, self._batch):
                await self._slots.acquire()
                group.create_task(self._in_slot(batch))

    async def _in_slot(self, batch: Sequence[Slice]) -> None:
        try:
            await self._write_batch(batch)
        finally:
            self._slots.release()

    async def _write_batch(self, batch: Sequence[Slice]) -> None:
        """Embed once and store what can be; a document with a guilty chunk fails alone."""
        sound = [piece for piece in batch if not piece.draft.failed]
        embedded, refused = await self._embed([c for piece in sound for c in piece.chunks()])
        self._give_up(sound, refused)
        for piece in sound:
            if piece.start:
                await piece.draft.head.wait()
        try:
            await self._store_slices(sound, embedded)
        except BLAMES_AN_INPUT:
            await self._store_apart(sound, embedded)

    async def _store_apart(self, batch: Sequence[Slice], embedded: Sequence[EmbeddedChunk]) -> None:
        """Store the documents of a batch one by one: the store refused one of them."""
        sound = [piece for piece in batch if not piece.draft.failed]
        refused: dict[str, GatewayError] = {}
        for piece in sound:
            try:
                await self._store_slices([piece], embedded)
            except BLAMES_AN_INPUT as exc:
                refused[piece.draft.id] = exc
        self._give_up(sound, refused)

    def _give_up(self, pieces: Sequence[Slice], refused: Mapping[str, GatewayError]) -> None:
        """Fail documents, by id; when a service refused several and took none, it is at fault.

        Raises:
            UpstreamRejected: it is.
        """
        for piece in pieces:
            if piece.draft.id in refused:
                piece.draft.fail(refused[piece.draft.id])
        rejected = [exc for exc in refused.values() if isinstance(exc, UpstreamRejected)]
        if len(pieces) > 1 and len(rejected) == len(pieces):
            raise rejected[-1]

    async def _store_slices(
        self, batch: Sequence[Slice], embedded: Sequence[EmbeddedChunk]
    ) -> None:
        wanted = {piece.draft.id for piece in batch if not piece.draft.failed}
        chunks = [item for item in embedded if item.chunk.document_id in wanted]
        if not chunks:
            return
        await self._store.upsert(self._spec.name, chunks)
        self._acknowledge(batch, [item.chunk for item in chunks])

    def _acknowledge(self, batch: Sequence[Slice], chunks: Sequence[Chunk]) -> None:
        drafts = {piece.draft.id: piece.draft for piece in batch}
        for chunk in chunks:
            draft = drafts[chunk.document_id]
            draft.written += 1
            draft.tokens += chunk.tokens
            if chunk.index == 0:
                draft.head.set()
        self._tally.wrote(len(chunks), sum(chunk.tokens for chunk in chunks))

    async def _embed(
        self, chunks: Sequence[Chunk]
    ) -> tuple[list[EmbeddedChunk], dict[str, GatewayError]]:
        """Embed chunks; of each document with a chunk that is refused, return the first reason.

        Raises:
            UpstreamError: the service took none of the chunks, and blames none of them.
        """
        if not chunks:
            return [], {}
        titled = self._embedder.profile.title_rule is not None
        inputs = [Input(chunk.text, chunk.title if titled else None) for chunk in chunks]
        try:
            found = await self._embedder.embed(
                Task.DOCUMENT, inputs, size=self._spec.size, allow_prompted=True, partial=True
            )
        except BLAMES_AN_INPUT as exc:  # no input is named: it holds for all of them
            return [], {chunk.document_id: exc for chunk in chunks}
        reasons = list(found.refused.values())
        if len(reasons) == len(chunks) and all(map(_is_outage, reasons)):
            raise reasons[0]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        refused: dict[str, GatewayError] = {}
        for index in sorted(found.refused):
            refused.setdefault(chunks[index].document_id, found.refused[index])
        embedded = [
            EmbeddedChunk(chunk, vector, now, self._embedder.space)
            for chunk, vector in zip(chunks, found.rows, strict=True)
            if chunk.document_id not in refused
        ]
        return embedded, refused


def _is_outage(error: GatewayError) -> bool:
    return isinstance(error, UpstreamError) and not isinstance(error, BLAMES_AN_INPUT)
