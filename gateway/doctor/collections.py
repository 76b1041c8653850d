"""Checks of the collections of a store: their form, and whether their vectors are what they say."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from gateway.doctor.findings import Outcome, check, fail, ok, skip, warn
from gateway.doctor.patient import Patient
from gateway.domain.collections import CollectionInfo
from gateway.domain.documents import StoredChunk
from gateway.domain.vectors import UNIT_TOLERANCE, norms_of
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.errors import UpstreamError

SAMPLE: Final = 32
"""Stored vectors looked at per collection."""
EMBEDDED_AGAIN: Final = 8
"""Stored chunks embedded again per collection."""
SAME: Final = 0.99
"""Least cosine of a stored vector to that of its text now: bfloat16 stays above 0.997."""
EXACT: Final = 0.999
"""Below this, something changed since: a dtype or an engine, if nothing worse."""


async def _infos(patient: Patient, *, ours: bool) -> list[CollectionInfo]:
    """Collections of the store; `ours` are those of the configured space."""
    infos = await patient.well_store.list_collections()
    return [info for info in infos if not ours or info.spec.space == patient.space]


async def _mend_indexes(patient: Patient) -> list[str]:
    store, done = patient.well_store, list[str]()
    for info in await _infos(patient, ours=False):
        fields = await store.mend_indexes(info.spec.name)
        done += [f"created the index of {field!r} in {info.spec.name!r}" for field in fields]
    return done


@check(
    "collection-space",
    fails="It was written by another model, revision or prompt set: this gateway refuses to read and "
    "write it. A warning, for a store may serve gateways of several models.",
    remedy="configure the model that wrote it to search it, or ingest into a new collection",
)
async def space(patient: Patient) -> list[Outcome]:
    """Each collection has the fingerprint of the configured model."""
    found = [
        ok(info.spec.space, info.spec.name)
        if info.spec.space == patient.space
        else warn(f"is of space {info.spec.space!r}, not {patient.space!r}", info.spec.name)
        for info in await _infos(patient, ours=False)
    ]
    return found or [skip("no collection yet")]


@check(
    "collection-form",
    fails="Somebody else made or changed it: scores would mean another thing (Cosine, Euclid), or "
    "vectors have another size than its spec says.",
    remedy="ingest into a new collection, and let nothing else make or alter the gateway's",
)
async def form(patient: Patient) -> list[Outcome]:
    """The engine compares by dot product and stores the size that the spec names."""
    found: list[Outcome] = []
    for info in await _infos(patient, ours=False):
        stored = await patient.well_store.inspect(info.spec.name)
        good = stored.distance == "dot" and stored.size == info.spec.size
        detail = f"distance {stored.distance}, size {stored.size} of {info.spec.size}"
        found.append((ok if good else fail)(detail, info.spec.name))
    return found or [skip("no collection yet")]


@check(
    "collection-indexes",
    fails="A payload index is missing: filters and updates read every point.",
    remedy="run 'gateway doctor --fix', which creates it and changes no point",
    fix=_mend_indexes,
)
async def indexes(patient: Patient) -> list[Outcome]:
    """Every field that is filtered by has its payload index."""
    found: list[Outcome] = []
    for info in await _infos(patient, ours=False):
        missing = (await patient.well_store.inspect(info.spec.name)).unindexed
        detail = f"no index of {', '.join(missing)}" if missing else "all there"
        found.append((fail if missing else ok)(detail, info.spec.name))
    return found or [skip("no collection yet")]


@check(
    "collection-vectors",
    fails="A stored vector is not of unit length: something else wrote it, and its scores are wrong.",
    remedy="ingest into a new collection",
)
async def vectors(patient: Patient) -> list[Outcome]:
    """Sampled stored vectors are unit vectors of the collection's size."""
    found: list[Outcome] = []
    for info in await _infos(patient, ours=False):
        chunks = await _sample(patient, info.spec.name, SAMPLE)
        rows = [chunk.vector for chunk in chunks if chunk.vector is not None]
        sizes = {len(row) for row in rows}
        off = max((abs(float(norms_of(row[None])[0]) - 1) for row in rows), default=0.0)
        good = len(rows) == len(chunks) and sizes <= {info.spec.size} and off <= UNIT_TOLERANCE
        detail = f"{len(rows)} of {len(chunks)} sampled have vectors, norms within {off:.1e} of 1"
        found.append((ok if good else fail)(detail, info.spec.name))
    return found or [skip("no collection yet")]


@check(
    "collection-reembed",
    fails="A stored text embeds to another vector now: the model, its revision, weights or prompts "
    "changed under the same name, or another program wrote the vectors. Below 0.999 it is a warning.",
    remedy="put the former model back, or ingest into a new collection",
)
async def reembed(patient: Patient) -> list[Outcome]:
    """Sampled stored chunks, embedded again with their titles, give the vectors that are stored."""
    found: list[Outcome] = []
    for info in await _infos(patient, ours=True):
        chunks = await _sample(patient, info.spec.name, EMBEDDED_AGAIN)
        found.append(await _embedded_again(patient, info, chunks))
    return found or [skip("no collection of the configured model yet")]


CHECKS: Final = (space, form, indexes, vectors, reembed)


async def _sample(patient: Patient, name: str, count: int) -> list[StoredChunk]:
    chunks: list[StoredChunk] = []
    async for chunk in patient.well_store.scroll(name, with_vectors=True):
        chunks.append(chunk)
        if len(chunks) >= count:
            break
    return chunks


async def _embedded_again(
    patient: Patient, info: CollectionInfo, chunks: Sequence[StoredChunk]
) -> Outcome:
    name = info.spec.name
    stored = [chunk.vector for chunk in chunks if chunk.vector is not None]
    if not chunks or len(stored) < len(chunks) or any(len(v) != info.spec.size for v in stored):
        return skip("no sound vector to compare: see collection-vectors", name)
    titled = patient.profile.title_rule is not None
    inputs = [Input(one.chunk.text, one.chunk.title if titled else None) for one in chunks]
    try:
        made = await patient.well_embedder.embed(
            Task.DOCUMENT, inputs, size=info.spec.size, allow_prompted=True
        )
    except UpstreamError as exc:
        return fail(f"could not be embedded again: {exc}", name)
    cosines = np.nan_to_num(np.sum(made.vectors * np.stack(stored), axis=1), nan=-1.0)
    worst = chunks[int(np.argmin(cosines))].chunk
    detail = (
        f"{len(chunks)} chunks again: cosine at least {cosines.min():.5f} (document "
        f"{worst.document_id!r}, chunk {worst.index})"
    )
    if not cosines.min() >= SAME:
        return fail(detail, name)
    return ok(detail, name) if cosines.min() >= EXACT else warn(detail, name)
