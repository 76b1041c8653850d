"""Drafts into the store: batches embedded and upserted side by side, a bad document set apart."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.embedding.embedder import Embedder, Input
from gateway.embedding.profile import Task
from gateway.errors import DegenerateVector, GatewayError, InvalidRequest, UpstreamRejected
from gateway.ingest.draft import Draft, Slice, batches
from gateway.ingest.report import Tally
from gateway.ports import VectorStore

BLAMES_AN_INPUT: Final = (InvalidRequest, DegenerateVector, UpstreamRejected)
"""Errors that one document of a batch can cause; any other ends the ingest."""


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
        """Write a batch; when an input is to blame, write its documents one by one."""
        try:
            await self._store_slices(batch)
        except BLAMES_AN_INPUT as exc:
            if len(batch) == 1:
                batch[0].draft.fail(exc)
            else:
                await self._write_apart(batch)

    async def _write_apart(self, batch: Sequence[Slice]) -> None:
        refused: list[GatewayError] = []
        for piece in batch:
            try:
                await self._store_slices([piece])
            except BLAMES_AN_INPUT as exc:
                refused.append(exc)
                piece.draft.fail(exc)
        if len(refused) == len(batch) and isinstance(refused[-1], UpstreamRejected):
            raise refused[-1]  # every document refused: the service is at fault, not they

    async def _store_slices(self, batch: Sequence[Slice]) -> None:
        embedded = await self._embed([chunk for piece in batch for chunk in piece.chunks()])
        for piece in batch:
            if piece.start:
                await piece.draft.head.wait()
        failed = {piece.draft.id for piece in batch if piece.draft.failed}
        embedded = [item for item in embedded if item.chunk.document_id not in failed]
        if not embedded:
            return
        await self._store.upsert(self._spec.name, embedded)
        self._acknowledge(batch, [item.chunk for item in embedded])

    def _acknowledge(self, batch: Sequence[Slice], chunks: Sequence[Chunk]) -> None:
        drafts = {piece.draft.id: piece.draft for piece in batch}
        for chunk in chunks:
            draft = drafts[chunk.document_id]
            draft.written += 1
            draft.tokens += chunk.tokens
            if chunk.index == 0:
                draft.head.set()
        self._tally.wrote(len(chunks), sum(chunk.tokens for chunk in chunks))

    async def _embed(self, chunks: Sequence[Chunk]) -> list[EmbeddedChunk]:
        if not chunks:
            return []
        titled = self._embedder.profile.title_rule is not None
        inputs = [Input(chunk.text, chunk.title if titled else None) for chunk in chunks]
        embeddings = await self._embedder.embed(
            Task.DOCUMENT, inputs, size=self._spec.size, allow_prompted=True
        )
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return [
            EmbeddedChunk(chunk, vector, now)
            for chunk, vector in zip(chunks, embeddings.vectors, strict=True)
        ]
