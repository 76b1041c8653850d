"""Shards of the embedded engine, one a collection; runs in the worker process only.

Every call holds the GIL until the engine returns, so nothing here is concurrent. Points arrive
validated: the engine takes NaN, applies a bad batch in part, and an unknown vector name leaves a
point without vector behind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
import qdrant_edge as qe

from gateway.vectorstores.edge_conditions import to_edge_filter
from gateway.vectorstores.edge_files import (
    read_index,
    read_specs,
    remove,
    write_index,
    write_spec,
)
from gateway.vectorstores.edge_points import points_of
from gateway.vectorstores.edge_queries import Found, Told, answer
from gateway.vectorstores.edge_shards import (
    create_indexes,
    create_shard,
    load_shard,
    stored_form,
    tuning_of,
    unindexed,
)
from gateway.vectorstores.edge_wire import unpack_ids
from gateway.vectorstores.payload import VECTOR_NAME
from gateway.vectorstores.tuning import INDEX_FROM

Row = tuple[bytes, Any, bytes | None]
"""A point on its way out: id, payload, vector as float32 bytes when asked for."""


class NoCollection(LookupError):
    """A collection that is not here; its text is the name."""


@dataclass(slots=True)
class _Shelf:
    """One collection: its folder, its spec, its shard once opened, and what is not flushed."""

    folder: Path
    spec: dict[str, Any]
    shard: qe.EdgeShard | None = None
    dirty: bool = False
    indexed_at: int = 0
    indexed_as: str = ""

    def indexed(self, points: int) -> None:
        """Remember that so many points are indexed as the spec asks, over a restart too."""
        self.indexed_at, self.indexed_as = points, _index_of(self.spec)
        write_index(self.folder, self.indexed_at, self.indexed_as)


class Engine:
    """All collections below one root; the caller holds the root's lock.

    A collection with `index_from` points outside an index has outgrown exact search.
    """

    def __init__(self, root: Path, *, index_from: int = INDEX_FROM) -> None:
        self._root = root
        self._index_from = index_from
        self._shelves = {
            spec["name"]: _Shelf(at, spec, None, False, *read_index(at))
            for at, spec in read_specs(root)
        }

    def ping(self) -> int:
        """Return the number of collections."""
        return len(self._shelves)

    def specs(self) -> list[dict[str, Any]]:
        return [shelf.spec for shelf in self._shelves.values()]

    def ensure(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Create the collection unless it exists; return the stored spec."""
        known = self._shelves.get(spec["name"])
        if known is not None:
            return known.spec
        folder = self._root / "collections" / spec["name"]
        if folder.exists():
            raise FileExistsError(f"{folder} exists under another name; choose another name")
        folder.mkdir(parents=True)
        shard = create_shard(folder / "shard", spec, self._index_from)
        shard.flush()
        write_spec(folder, spec)
        self._shelves[spec["name"]] = _Shelf(folder, spec, shard)
        return spec

    def inspect(self, name: str) -> tuple[str, int | None, list[str]]:
        """Return distance, size and the fields without their index, as the shard has them."""
        shard, shelf = self._shard(name), self._named(name)
        return *stored_form(shelf.folder / "shard"), unindexed(shard, shelf.spec)

    def mend_indexes(self, name: str) -> list[str]:
        """Create the payload indexes that are missing; returns their fields."""
        shard, shelf = self._shard(name), self._named(name)
        missing = unindexed(shard, shelf.spec)
        create_indexes(shard, shelf.spec, missing)
        shard.flush()
        return missing

    def amend(self, spec: dict[str, Any]) -> None:
        """Keep another tuning: written first, then the shard is opened under it."""
        shelf = self._named(spec["name"])
        write_spec(shelf.folder, spec)
        shelf.spec = spec
        if shelf.shard is not None:
            shelf.shard.flush()
            shelf.shard.close()
            shelf.shard, shelf.dirty = None, False
        self._shard(spec["name"])

    def optimize(self, name: str) -> bool:
        """Index a collection that is large enough, now; returns whether it is."""
        if self._shard(name).info().points_count < self._index_from:
            return False
        self.index(name)
        return True

    def drop(self, name: str) -> None:
        shelf = self._shelves.pop(self._named(name).spec["name"])
        if shelf.shard is not None:
            shelf.shard.close()
        remove(self._root, shelf.folder)

    def upsert(self, name: str, ids: bytes, vectors: bytes, payloads: Sequence[Any]) -> None:
        keys = unpack_ids(ids)
        rows = np.frombuffer(vectors, np.float32).reshape(len(keys), -1)
        points = points_of(self._named(name).spec, keys, rows, payloads)
        self._update(name, qe.UpdateOperation.upsert_points(points))

    def delete(self, name: str, where: Mapping[str, Any]) -> None:
        clause = to_edge_filter(dict(where))
        self._update(name, qe.UpdateOperation.delete_points_by_filter(clause))

    def get(self, name: str, ids: bytes, with_vectors: bool) -> list[Row]:
        found = self._shard(name).retrieve(list(unpack_ids(ids)), True, with_vectors)
        return [_row(record) for record in found]

    def scroll(
        self, name: str, where: Any, after: bytes | None, limit: int, with_vectors: bool
    ) -> tuple[list[Row], bytes | None]:
        """Return one page in order of id, and the id the next page starts with."""
        request = qe.ScrollRequest(
            offset=None if after is None else UUID(bytes=after),
            limit=limit,
            filter=None if where is None else to_edge_filter(where),
            with_payload=True,
            with_vector=with_vectors,
        )
        records, following = self._shard(name).scroll(request)
        return [_row(record) for record in records], _id(following)

    def count(self, name: str, where: Any) -> int:
        clause = None if where is None else to_edge_filter(where)
        return self._shard(name).count(qe.CountRequest(exact=True, filter=clause))

    def query(
        self, name: str, kind: str, asked: Mapping[str, Any]
    ) -> tuple[list[Found], list[Told]]:
        """Answer a dense, lexical or hybrid query: hits, and the passes of an explained one."""
        return answer(self._shard(name), self._named(name).spec, kind, asked)

    @property
    def dirty(self) -> bool:
        return any(shelf.dirty for shelf in self._shelves.values())

    def flush(self) -> None:
        """Bring every acknowledged write to the disk itself."""
        for shelf in self._shelves.values():
            if shelf.dirty and shelf.shard is not None:
                shelf.shard.flush()
                shelf.dirty = False

    def unindexed(self) -> str | None:
        """Return an open collection that has outgrown exact search since it was last indexed."""
        for name, shelf in self._shelves.items():
            if shelf.shard is not None:
                points = shelf.shard.info().points_count
                anew = shelf.indexed_as != _index_of(shelf.spec) and points >= self._index_from
                if anew or points - shelf.indexed_at >= self._index_from:
                    return name
        return None

    def index(self, name: str) -> None:
        """Merge segments and build the graph: blocks for seconds to minutes."""
        shelf, shard = self._named(name), self._shard(name)
        shard.optimize()
        shard.flush()
        shelf.indexed(shard.info().points_count)

    def close(self) -> None:
        self.flush()
        for shelf in self._shelves.values():
            if shelf.shard is not None:
                shelf.shard.close()
                shelf.shard = None

    def _update(self, name: str, operation: qe.UpdateOperation) -> None:
        shard = self._shard(name)
        self._named(name).dirty = True
        shard.update(operation)

    def _shard(self, name: str) -> qe.EdgeShard:
        shelf = self._named(name)
        if shelf.shard is None:
            shelf.shard = load_shard(shelf.folder / "shard", shelf.spec, self._index_from)
        return shelf.shard

    def _named(self, name: str) -> _Shelf:
        try:
            return self._shelves[name]
        except KeyError:
            raise NoCollection(name) from None


def _index_of(spec: Mapping[str, Any]) -> str:
    """Name the kind of index that a spec asks for."""
    return str(tuning_of(spec).get("quantization", "int8"))


def _row(record: qe.Record) -> Row:
    named = cast("dict[str, list[float]] | None", record.vector)
    vector = None if not named else np.asarray(named[VECTOR_NAME], np.float32).tobytes()
    return cast("bytes", _id(record.id)), record.payload, vector


def _id(point_id: Any) -> bytes | None:
    if point_id is None:
        return None
    return point_id.bytes if isinstance(point_id, UUID) else UUID(str(point_id)).bytes
