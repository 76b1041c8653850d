"""The embedded store: Qdrant's own engine on disk, in one worker process of ours.

An acknowledged write is in the engine's log and survives `kill -9`; with `sync_writes` it is on
the disk itself, and several writers share one flush.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from gateway.domain.collections import (
    CollectionInfo,
    CollectionSpec,
    StoredForm,
    amended,
    require_same,
    require_space,
)
from gateway.domain.documents import EmbeddedChunk, StoredChunk
from gateway.domain.lexical import Lexical
from gateway.domain.search import (
    DenseQuery,
    Filter,
    Hit,
    HybridQuery,
    Pass,
    StoreQuery,
)
from gateway.errors import CollectionMismatch, CollectionNotFound, UpstreamError
from gateway.events import Sink, discard
from gateway.ports import Health
from gateway.vectorstores.conditions import compile_filter, optional_filter
from gateway.vectorstores.edge_launch import SERVICE, WorkerOptions
from gateway.vectorstores.edge_messages import hit_of, request_of, stored_of
from gateway.vectorstores.edge_process import EdgeProcess
from gateway.vectorstores.edge_wire import pack_ids
from gateway.vectorstores.points import require_hits, require_query, to_points
from gateway.vectorstores.ranking import DENSE, HYBRID, LEXICAL, page
from gateway.vectorstores.schema import spec_from_json, spec_to_json
from gateway.vectorstores.tuning import INDEX_FROM

_WRITE_POINTS: Final = 512
_PAGE: Final = 256
_INDEX_SECONDS: Final = 3600.0


class EdgeStore:
    """A `gateway.ports.VectorStore` over one folder; one gateway process may open it at a time."""

    def __init__(self, root: Path, process: EdgeProcess) -> None:
        self._root = root
        self._process = process
        self._specs: dict[str, CollectionSpec] = {}
        self._unreadable: dict[str, CollectionMismatch] = {}
        for data in process.specs:
            try:
                spec = spec_from_json(data)
            except CollectionMismatch as exc:
                self._unreadable[str(data["name"])] = exc
                continue
            if spec is not None:
                self._specs[spec.name] = spec

    @classmethod
    async def open(
        cls,
        root: Path,
        *,
        flush_seconds: float = 3.0,
        sync_writes: bool = False,
        timeout_seconds: float = 60.0,
        index_from: int = INDEX_FROM,
        sink: Sink = discard,
    ) -> "EdgeStore":
        """Start the worker on `root`, which is made if it does not exist.

        Collections of fewer than `index_from` chunks are searched exactly.

        Raises:
            StoreLocked: another process has the folder.
            UpstreamUnavailable: the worker did not come up.
        """
        options = WorkerOptions(
            root, flush_seconds, sync_writes, timeout_seconds, sink, index_from=index_from
        )
        process = EdgeProcess(options)
        await process.start()
        return cls(root, process)

    @property
    def worker_pid(self) -> int | None:
        """Process id of the living worker; None between its death and the next call."""
        return self._process.pid

    @property
    def indexing(self) -> bool:
        """Say whether the quiet is used to build an index, which the next call will put off."""
        return self._process.indexing

    async def ensure(self, spec: CollectionSpec) -> CollectionSpec:
        known = self._specs.get(spec.name)
        if known is None:
            stored = await self._process.call("ensure", spec=spec_to_json(spec))
            known = spec_from_json(stored) or spec
            self._specs[spec.name] = known
        return require_same(known, spec)

    async def spec(self, name: str) -> CollectionSpec:
        try:
            return self._specs[name]
        except KeyError:
            raise self._unreadable.get(name) or CollectionNotFound(name) from None

    async def describe(self, name: str) -> CollectionInfo:
        return CollectionInfo(await self.spec(name), await self.count(name))

    async def list_collections(self) -> list[CollectionInfo]:
        return [await self.describe(name) for name in sorted(self._specs)]

    async def inspect(self, name: str) -> StoredForm:
        await self.spec(name)
        distance, size, unindexed = await self._process.call("inspect", name=name)
        return StoredForm(distance, size, tuple(unindexed))

    async def mend_indexes(self, name: str) -> list[str]:
        await self.spec(name)
        return list(await self._process.call("mend_indexes", name=name))

    async def amend(self, spec: CollectionSpec) -> CollectionSpec:
        kept = amended(await self.spec(spec.name), spec)
        await self._process.call("amend", spec=spec_to_json(kept))
        self._specs[spec.name] = kept
        return kept

    async def optimize(self, name: str) -> bool:
        await self.spec(name)
        return await self._process.call("optimize", _timeout=_INDEX_SECONDS, name=name)

    async def drop(self, name: str) -> None:
        await self.spec(name)
        await self._process.call("drop", name=name)
        self._specs.pop(name, None)

    async def upsert(self, name: str, chunks: Sequence[EmbeddedChunk]) -> None:
        points = to_points(await self.spec(name), chunks)
        for start in range(0, len(points), _WRITE_POINTS):
            require_space(await self.spec(name), chunks[0].space)  # it may be another by now
            batch = points.batch(start, _WRITE_POINTS)
            await self._process.call(
                "upsert",
                name=name,
                ids=pack_ids(batch.ids),
                vectors=batch.vectors.tobytes(),
                payloads=batch.payloads,
            )

    async def delete(self, name: str, where: Filter) -> None:
        clause = compile_filter(where, await self.spec(name))
        await self._process.call("delete", name=name, where=clause)

    async def get(
        self, name: str, ids: Sequence[UUID], *, with_vectors: bool = False
    ) -> list[StoredChunk]:
        await self.spec(name)
        if not ids:
            return []
        rows = await self._process.call(
            "get", name=name, ids=pack_ids(ids), with_vectors=with_vectors
        )
        found = {stored.id: stored for stored in map(stored_of, rows)}
        return [found[key] for key in ids if key in found]

    async def scroll(
        self, name: str, where: Filter | None = None, *, with_vectors: bool = False
    ) -> AsyncIterator[StoredChunk]:
        clause = optional_filter(where, await self.spec(name))
        after: bytes | None = None
        while True:
            rows, after = await self._process.call(
                "scroll",
                name=name,
                where=clause,
                after=after,
                limit=_PAGE,
                with_vectors=with_vectors,
            )
            for row in rows:
                yield stored_of(row)
            if after is None:
                return

    async def count(self, name: str, where: Filter | None = None) -> int:
        clause = optional_filter(where, await self.spec(name))
        return await self._process.call("count", name=name, where=clause)

    async def query(self, name: str, query: StoreQuery) -> list[Hit]:
        spec = await self.spec(name)
        asked = require_query(spec, query)
        request = request_of(spec, asked)
        if isinstance(asked, HybridQuery):
            hits = await self._ask(name, HYBRID, request, asked.passes)
            return require_hits(name, query.space, hits)
        kind = DENSE if isinstance(asked, DenseQuery) else LEXICAL
        passes = asked.passes if isinstance(asked, DenseQuery) else []

        async def fetch(limit: int) -> list[Hit]:
            return await self._ask(name, kind, {**request, "limit": limit}, passes)

        return require_hits(name, query.space, await page(asked, fetch))

    async def _ask(
        self, name: str, kind: str, request: dict[str, Any], passes: list[Pass]
    ) -> list[Hit]:
        """Return the hits of one call; of several for a page, the last one's passes count."""
        rows, told = await self._process.call("query", name=name, kind=kind, asked=request)
        passes[:] = [Pass(*each) for each in told]
        return [hit_of(row) for row in rows]

    def has_words(self, lexical: Lexical, text: str) -> bool:
        # the tokeniser alone, which needs no engine: the worker is not asked
        from gateway.vectorstores.bm25 import query_vector  # noqa: PLC0415

        return bool(query_vector(lexical, text)[0])

    async def health(self) -> Health:
        """Say whether the worker lives; a living one is not disturbed, a dead one is replaced."""
        if not self._process.alive:
            try:
                await self._process.call("ping")
            except UpstreamError as exc:
                return Health(SERVICE, ok=False, detail=exc.message)
        return Health(SERVICE, ok=True, detail=f"{len(self._specs)} collections at {self._root}")

    async def aclose(self) -> None:
        await self._process.aclose()
