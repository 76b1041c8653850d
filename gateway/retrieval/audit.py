"""A collection is looked at before it is believed: do its vectors come out of its own texts?

Its spec says what the vectors should be. Whoever can write to the store can put others there: a script
that cut them to a size, a copy from elsewhere, the same name served from other weights. A few points
are therefore held against the encoder in use when a collection is first opened.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, Final

import numpy as np

from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import StoredChunk
from gateway.domain.vectors import UNIT_TOLERANCE, norms_of
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.errors import CollectionMismatch
from gateway.ports import VectorStore

MEASURED: Final = 32
"""Points whose length is measured. Ids are digests, so the first in their order are a random sample."""
EMBEDDED: Final = 4
"""Points of them whose texts are embedded again."""
SAME_COSINE: Final = 0.99
"""Least cosine of a vector to the one made again: bfloat16 and batches stay above it."""


class Audit:
    """Looks at each collection once, until it is forgotten."""

    def __init__(self, embedder: Embedder, store: VectorStore) -> None:
        self._embedder: Final = embedder
        self._store: Final = store
        self._passed: Final[set[tuple[str, str, int]]] = set()
        self._locks: Final[defaultdict[str, asyncio.Lock]] = defaultdict(asyncio.Lock)

    async def require(self, spec: CollectionSpec) -> None:
        """Refuse a collection with vectors that the model in use does not make of their texts.

        Raises:
            CollectionMismatch: names the document and the remedy.
            UpstreamError: store or encoder failed.
        """
        key = (spec.name, spec.space, spec.size)
        if key in self._passed:
            return
        async with self._locks[spec.name]:
            if key in self._passed:
                return
            sample = await self._sample(spec.name)
            for stored in sample:
                _require_unit(spec, stored)
            await self._require_same(spec, sample[:EMBEDDED])
            self._passed.add(key)

    def forget(self, name: str) -> None:
        """Look again at a collection of that name."""
        self._passed.difference_update([key for key in self._passed if key[0] == name])

    async def _sample(self, name: str) -> list[StoredChunk]:
        found: list[StoredChunk] = []
        scroll: Any = self._store.scroll(name, with_vectors=True)
        async with aclosing(scroll) as chunks:
            async for stored in chunks:
                found.append(stored)
                if len(found) == MEASURED:
                    break
        return found

    async def _require_same(self, spec: CollectionSpec, sample: Sequence[StoredChunk]) -> None:
        if not sample:
            return
        titled = self._embedder.profile.title_rule is not None
        inputs = [Input(one.chunk.text, one.chunk.title if titled else None) for one in sample]
        made = await self._embedder.embed(
            Task.DOCUMENT, inputs, size=spec.size, allow_prompted=True, partial=True
        )
        for index, stored in enumerate(sample):
            if index in made.refused or stored.vector is None:
                continue
            cosine = float(made.rows[index] @ stored.vector)
            if not cosine >= SAME_COSINE:
                raise _mismatch(
                    spec, stored, f"is not what the model makes of its text (cosine {cosine:.3f})"
                )


def _require_unit(spec: CollectionSpec, stored: StoredChunk) -> None:
    row = stored.vector
    if row is None or row.shape != (spec.size,):
        raise _mismatch(spec, stored, f"is missing, or not of size {spec.size}")
    norm = float(norms_of(row[np.newaxis, :])[0])
    if not abs(norm - 1.0) <= UNIT_TOLERANCE:
        raise _mismatch(spec, stored, f"is not of unit length (norm {norm:.4g})")


def _mismatch(spec: CollectionSpec, stored: StoredChunk, what: str) -> CollectionMismatch:
    return CollectionMismatch(
        f"collection {spec.name!r} is not searched or written: the vector of document "
        f"{stored.chunk.document_id!r} {what}. Somebody else wrote it, or another model is served "
        "now; serve the model that wrote the collection, or ingest into a new one"
    )
