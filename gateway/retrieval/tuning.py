"""How far a collection must be searched: recall against exact search, measured, then chosen.

Everything is tried on a copy of the vectors in a scratch collection of the same store, so that the
collection itself is searched as before until the choice is made.
"""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

import numpy as np

from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import Chunk, EmbeddedChunk, StoredChunk
from gateway.domain.vectors import Matrix
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.errors import InvalidRequest
from gateway.ports import VectorStore
from gateway.retrieval.collections import Collections
from gateway.retrieval.measuring import Measuring, Say, TuningPlan, TuningReport
from gateway.retrieval.scratch import scratch_collection

QUERY_WORDS: Final = 12
"""Words of a chunk that make a query: about as long as people ask."""
_WRITE: Final = 512


class Tuner:
    """Measures how a collection can be searched, and keeps the best with it."""

    def __init__(self, embedder: Embedder, store: VectorStore, collections: Collections) -> None:
        self._embedder = embedder
        self._store = store
        self._collections = collections

    async def tune(
        self,
        name: str,
        plan: TuningPlan,
        *,
        queries: Sequence[str] = (),
        keep: bool = True,
        say: Say = lambda _: None,
    ) -> TuningReport:
        """Try ways to search a collection; the chosen one is stored with it if `keep`.

        `queries` are what users ask; without them the beginnings of sentences of sampled chunks are.

        Raises:
            CollectionNotFound, SpaceMismatch, CollectionMismatch: as `Collections.open`.
            InvalidRequest: the collection is too small to measure.
            UpstreamError: encoder or store failed; the scratch collection is dropped, or will be by
                a run on another day.
        """
        spec = await self._collections.open(name)
        say("reading vectors")
        sample = await self._sample(name, plan)
        _require_enough(name, len(sample), plan)
        say("embedding queries")
        vectors = await self._queries(spec, sample, plan, queries)
        async with scratch_collection(self._store, _plain(spec)) as scratch:
            await self._copy(spec, scratch.name, sample, say)
            report = await Measuring(self._store, scratch, vectors, plan, say).run(spec.name)
        if keep and report.chosen is not None:
            now = await self._store.spec(name)  # calibrations may have come meanwhile
            await self._store.amend(replace(now, tuning=report.chosen.tuning))
        return report

    async def _sample(self, name: str, plan: TuningPlan) -> list[StoredChunk]:
        """Return at most `points` chunks with vectors: derived ids are as good as drawn."""
        found: list[StoredChunk] = []
        scroll: Any = self._store.scroll(name, with_vectors=True)
        async with aclosing(scroll) as chunks:
            async for stored in chunks:
                found.append(stored)
                if len(found) == plan.points:
                    break
        return found

    async def _queries(
        self,
        spec: CollectionSpec,
        sample: Sequence[StoredChunk],
        plan: TuningPlan,
        given: Sequence[str],
    ) -> Matrix:
        texts = list(given[: plan.queries]) or _drawn(sample, plan)
        inputs = [Input(text) for text in texts]
        made = await self._embedder.embed(
            Task.QUERY, inputs, size=spec.size, allow_prompted=True, truncate=True
        )
        return made.vectors

    async def _copy(
        self, spec: CollectionSpec, scratch: str, sample: Sequence[StoredChunk], say: Say
    ) -> None:
        """Copy the vectors, without texts, into a scratch collection."""
        for start in range(0, len(sample), _WRITE):
            say(f"copying vectors {start} of {len(sample)}")
            batch = sample[start : start + _WRITE]
            await self._store.upsert(scratch, [_bare(spec, each) for each in batch])


def _plain(spec: CollectionSpec) -> CollectionSpec:
    """Return the spec with nothing of a collection but its vectors and how they are searched."""
    return replace(spec, filter_fields={}, lexical=None, calibrations={})


def _require_enough(name: str, found: int, plan: TuningPlan) -> None:
    if found >= 2 * plan.limit:
        return
    if found == plan.points:
        raise InvalidRequest(
            f"{found} points are too few to measure the best {plan.limit} of: take {2 * plan.limit} "
            "or more, or a smaller limit",
            field="points",
        )
    raise InvalidRequest(
        f"collection {name!r} has {found} chunks: too few to measure the best {plan.limit} of; "
        "ingest more, or ask for a smaller limit",
        field="limit",
    )


def _drawn(sample: Sequence[StoredChunk], plan: TuningPlan) -> list[str]:
    """Take the beginning of a sentence out of each of some chunks."""
    order = np.random.default_rng(plan.seed).permutation(len(sample))
    drawn: list[str] = []
    for index in order:
        text = sample[int(index)].chunk.text
        sentences = [part.split() for part in text.split(". ")]
        longest = max(sentences, key=len)[:QUERY_WORDS]
        if longest:
            drawn.append(" ".join(longest))
        if len(drawn) == plan.queries:
            break
    return drawn


def _bare(spec: CollectionSpec, stored: StoredChunk) -> EmbeddedChunk:
    """Return a chunk that has the vector of another one and nothing else of it."""
    if stored.vector is None:
        raise InvalidRequest(f"collection {spec.name!r} holds a chunk without a vector")
    source = stored.chunk
    chunk = Chunk(source.document_id, source.index, "", 0, 0, 0, source.document_chunks, "")
    return EmbeddedChunk(chunk, stored.vector, stored.ingested_at, spec.space)
