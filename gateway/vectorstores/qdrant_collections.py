"""Collections of a Qdrant server: made once, recognised by our metadata, remembered for seconds."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from qdrant_client import AsyncQdrantClient, models

from gateway.domain.collections import CollectionSpec, StoredForm, amended, require_same
from gateway.errors import (
    CollectionMismatch,
    CollectionNotFound,
    UnsupportedServer,
    UpstreamRejected,
    UpstreamTimeout,
)
from gateway.vectorstores import qdrant_schema as schema
from gateway.vectorstores.qdrant_calls import Caller
from gateway.vectorstores.qdrant_errors import SERVICE
from gateway.vectorstores.schema import spec_from_json, spec_to_json
from gateway.vectorstores.tuning import INDEX_FROM

NEEDS: Final = ".".join(map(str, schema.FLOOR))
_POLL_SECONDS: Final = 1.0
_SPEC_SECONDS: Final = 5.0
"""How long a spec is believed: another gateway may drop and remake a collection meanwhile."""


class QdrantCollections:
    """Specs of one server. `indexes` says whether it can index payloads (in-memory mode cannot)."""

    def __init__(
        self, client: AsyncQdrantClient, *, reads: Caller, writes: Caller, indexes: bool
    ) -> None:
        self._client = client
        self._reads, self._writes = reads, writes
        self._indexes = indexes
        self._told: dict[str, _Told] = {}

    async def names(self) -> list[str]:
        """All collections of the server, ours or not."""
        listed = await self._reads("list_collections", None, self._client.get_collections)
        return sorted(found.name for found in listed.collections)

    async def spec(self, name: str, *, fresh: bool = False) -> CollectionSpec:
        """Return the stored spec; what was read within the last seconds is read again if `fresh`.

        Raises:
            CollectionMismatch: the collection is there, but a gateway did not make it, or it is of
                another distance or size than it says.
        """
        return (await self._look(name, fresh=fresh)).sound()

    async def told(self, name: str) -> CollectionSpec:
        """Return the stored spec as `spec`, of a collection that is not as it says too."""
        return (await self._look(name)).spec

    async def ensure(self, spec: CollectionSpec) -> CollectionSpec:
        try:
            info = await self._info(spec.name)
        except CollectionNotFound:
            info = await self._create(spec)
        stored = require_same(self._remember(spec.name, info).sound(), spec)
        await self._index(stored, info.payload_schema)
        return stored

    async def inspect(self, name: str) -> StoredForm:
        info = await self._info(name)
        spec = self._remember(name, info).spec
        return schema.form_of(info, self._wanted(spec))

    async def mend_indexes(self, name: str) -> list[str]:
        info = await self._info(name)
        return await self._index(self._remember(name, info).spec, info.payload_schema)

    async def amend(self, spec: CollectionSpec) -> CollectionSpec:
        """Keep another tuning and other calibrations; the server builds the copies in its own time."""
        kept = amended(await self.spec(spec.name, fresh=True), spec)
        change = partial(
            self._client.update_collection,
            spec.name,
            vectors_config=schema.retuned(kept) if self._indexes else None,
            metadata=spec_to_json(kept),
            timeout=self.write_timeout,
        )
        await self._writes("amend", spec.name, change)
        self._told.pop(spec.name, None)
        return await self.spec(spec.name)

    async def optimize(self, name: str) -> bool:
        """Wait until the server has nothing left to build; returns whether it keeps an index."""
        await self.spec(name)
        while True:
            info = await self._info(name)
            if info.status == models.CollectionStatus.GREEN:
                return self._indexes and (info.points_count or 0) >= INDEX_FROM
            await asyncio.sleep(_POLL_SECONDS)

    async def drop(self, name: str) -> None:
        self._told.pop(name, None)
        await self.told(name)
        call = partial(self._client.delete_collection, name, timeout=self.write_timeout)
        await self._writes("drop", name, call)
        self._told.pop(name, None)

    async def write(
        self, operation: str, name: str, call: Callable[[], Awaitable[models.UpdateResult]]
    ) -> None:
        """Run a write and see that it is applied, not only received."""
        try:
            result = await self._writes(operation, name, call)
        except CollectionNotFound:
            self._told.pop(name, None)
            raise
        if result.status != models.UpdateStatus.COMPLETED:
            raise UpstreamTimeout(
                f"Qdrant took {operation!r} on {name!r} but had not applied it in time "
                f"(status {result.status.value}); try again",
                service=SERVICE,
            )

    @property
    def write_timeout(self) -> int:
        """Whole seconds, as the server takes them."""
        return math.ceil(self._writes.timeout_seconds)

    async def _info(self, name: str) -> models.CollectionInfo:
        return await self._reads("describe", name, partial(self._client.get_collection, name))

    async def _look(self, name: str, *, fresh: bool = False) -> "_Told":
        known = self._told.get(name)
        if known is not None and not fresh and time.monotonic() < known.until:
            return known
        self._told.pop(name, None)
        return self._remember(name, await self._info(name))

    def _remember(self, name: str, info: models.CollectionInfo) -> "_Told":
        spec = spec_from_json(info.config.metadata)
        if spec is None:
            raise CollectionMismatch(
                f"collection {name!r} is in this Qdrant but was not made by a gateway; "
                "choose another name"
            )
        known = _Told(time.monotonic() + _SPEC_SECONDS, spec, schema.odd_form(spec, info))
        self._told[name] = known
        return known

    async def _create(self, spec: CollectionSpec) -> models.CollectionInfo:
        """Create the collection; that another gateway was faster is no error."""
        create = partial(
            self._client.create_collection,
            spec.name,
            vectors_config=schema.vectors_config(spec),
            sparse_vectors_config=schema.sparse_config(spec),
            optimizers_config=schema.optimizers_config(spec),
            metadata=spec_to_json(spec),
            timeout=self.write_timeout,
        )
        try:
            await self._writes("create", spec.name, create)
        except UpstreamRejected as refusal:
            try:
                return await self._info(spec.name)
            except CollectionNotFound:
                raise refusal from None
        info = await self._info(spec.name)
        if info.config.metadata is None:
            raise UnsupportedServer(
                f"this Qdrant keeps no metadata with collection {spec.name!r}; upgrade the server "
                f"to {NEEDS} or newer, delete that collection and try again"
            )
        return info

    def _wanted(self, spec: CollectionSpec) -> dict[str, models.PayloadSchemaType]:
        return schema.payload_indexes(spec) if self._indexes else {}

    async def _index(self, spec: CollectionSpec, present: dict[str, Any]) -> list[str]:
        """Create the payload indexes that are missing: before the first point, or after a crash."""
        missing = {key: kind for key, kind in self._wanted(spec).items() if key not in present}
        for field, kind in missing.items():
            timeout = self.write_timeout
            call = partial(self._client.create_payload_index, spec.name, field, kind)
            await self.write("index", spec.name, partial(call, wait=True, timeout=timeout))
        return list(missing)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a collection says of itself, believed `until` then, and what is `odd` about its form."""

    until: float
    spec: CollectionSpec
    odd: str

    def sound(self) -> CollectionSpec:
        """The spec of a collection that is as it says; another one is refused."""
        if self.odd:
            raise CollectionMismatch(self.odd)
        return self.spec
