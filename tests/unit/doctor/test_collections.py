"""Checks of the store and its collections, on ones that something else made or wrote to."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, models

from gateway.doctor import Patient, Status, examine, mend
from gateway.domain.collections import StoredForm
from gateway.domain.documents import StoredChunk
from gateway.domain.search import Filter
from gateway.domain.vectors import Vector
from gateway.encoders.fake import FakeEncoder
from gateway.errors import StoreLocked, UpstreamUnavailable
from gateway.ports import Encoding, Health, Lane
from gateway.settings import load_settings
from gateway.vectorstores.memory import MemoryStore
from gateway.vectorstores.payload import VECTOR_NAME
from gateway.vectorstores.qdrant import QdrantStore
from gateway.vectorstores.schema import spec_to_json
from tests.support.patients import filled, found_by, joined, status_of

pytestmark = pytest.mark.anyio

OF_COLLECTIONS = ("space", "form", "indexes", "vectors", "reembed")


class WrittenTo(MemoryStore):
    """A store that something else wrote to."""

    def spoil(self, vector: Vector) -> Vector | None:
        return vector

    async def scroll(
        self, name: str, where: Filter | None = None, *, with_vectors: bool = False
    ) -> AsyncIterator[StoredChunk]:
        async for chunk in super().scroll(name, where, with_vectors=with_vectors):
            vector = chunk.vector
            yield replace(chunk, vector=None if vector is None else self.spoil(vector))


class HoldsLongVectors(WrittenTo):
    def spoil(self, vector: Vector) -> Vector:
        return vector * 2


class LostVectors(WrittenTo):
    def spoil(self, vector: Vector) -> None:
        return None


class HoldsOthers(WrittenTo):
    """Vectors of unit length and of the right size, of another model."""

    def spoil(self, vector: Vector) -> Vector:
        return vector[::-1]


class Drifted(WrittenTo):
    """Vectors that another engine or dtype wrote."""

    def spoil(self, vector: Vector) -> Vector:
        off = vector + 0.1 * np.roll(vector, 1)
        return (off / np.linalg.norm(off)).astype(np.float32)


class LacksIndexes(MemoryStore):
    """A store where indexes were dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.missing = ["content_hash", "document_id"]

    async def inspect(self, name: str) -> StoredForm:
        return replace(await super().inspect(name), unindexed=tuple(self.missing))

    async def mend_indexes(self, name: str) -> list[str]:
        made, self.missing = self.missing, []
        return made


class RefusesIndexes(LacksIndexes):
    """A store that goes down while it is mended."""

    async def mend_indexes(self, name: str) -> list[str]:
        raise UpstreamUnavailable("nobody answers at http://qdrant", service="qdrant")


class IsDown(MemoryStore):
    async def health(self) -> Health:
        return Health("qdrant", ok=False, detail="nobody answers at http://qdrant")


class LaterModel(FakeEncoder):
    """The model was exchanged after the ingest."""

    exchanged = False

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        encoding = await super().encode(texts, lane=lane)
        rows = np.ascontiguousarray(encoding.rows[:, ::-1]) if self.exchanged else encoding.rows
        return replace(encoding, rows=rows)


@pytest.mark.parametrize("check", OF_COLLECTIONS)
async def test_a_collection_that_is_well_passes(check: str) -> None:
    assert await status_of(f"collection-{check}", Patient.of(await filled())) is Status.OK


@pytest.mark.parametrize("check", OF_COLLECTIONS)
async def test_no_collection_is_no_pass(check: str) -> None:
    assert await status_of(f"collection-{check}", Patient.of(joined())) is Status.SKIP


@pytest.mark.parametrize(
    ("store", "check", "status"),
    [
        (HoldsLongVectors(), "vectors", Status.FAIL),
        (LostVectors(), "vectors", Status.FAIL),
        (LostVectors(), "reembed", Status.SKIP),
        (HoldsOthers(), "vectors", Status.OK),
        (HoldsOthers(), "reembed", Status.FAIL),
        (Drifted(), "reembed", Status.WARN),
        (LacksIndexes(), "indexes", Status.FAIL),
    ],
)
async def test_what_something_else_did_is_found(
    store: MemoryStore, check: str, status: Status
) -> None:
    assert await status_of(f"collection-{check}", Patient.of(await filled(store=store))) is status


async def test_a_model_that_was_exchanged_after_the_ingest_is_found() -> None:
    encoder = LaterModel()
    patient = Patient.of(await filled(encoder))
    assert await status_of("collection-reembed", patient) is Status.OK
    encoder.exchanged = True
    assert await status_of("collection-reembed", patient) is Status.FAIL


async def test_a_collection_of_another_model_is_a_warning_and_not_embedded_again() -> None:
    runtime = await filled()
    await runtime.store.ensure(replace(runtime.collections.spec("other"), space="other:0"))
    found = await found_by("collection-space", Patient.of(runtime))
    assert {finding.where: finding.status for finding in found} == {
        "c": Status.OK,
        "other": Status.WARN,
    }
    again = await found_by("collection-reembed", Patient.of(runtime))
    assert [finding.where for finding in again] == ["c"]


@pytest.mark.parametrize(
    ("distance", "size", "status"),
    [
        (models.Distance.DOT, 512, Status.OK),
        (models.Distance.COSINE, 512, Status.FAIL),
        (models.Distance.EUCLID, 512, Status.FAIL),
        (models.Distance.DOT, 256, Status.FAIL),
    ],
)
async def test_a_qdrant_collection_of_another_form_is_found(
    distance: models.Distance, size: int, status: Status
) -> None:
    client = AsyncQdrantClient(":memory:")
    runtime = joined(store=QdrantStore.over(client))
    spec = runtime.collections.spec("made")
    assert spec.size == 512
    await client.create_collection(
        "made",
        vectors_config={VECTOR_NAME: models.VectorParams(size=size, distance=distance)},
        metadata=spec_to_json(spec),
    )
    assert await status_of("collection-form", Patient.of(runtime)) is status
    await runtime.store.aclose()


async def test_a_qdrant_collection_without_a_vector_of_ours_is_found() -> None:
    client = AsyncQdrantClient(":memory:")
    runtime = joined(store=QdrantStore.over(client))
    metadata = spec_to_json(runtime.collections.spec("made"))
    params = models.VectorParams(size=512, distance=models.Distance.DOT)
    for vectors in ({"another": params}, params):
        await client.create_collection("made", vectors_config=vectors, metadata=metadata)
        assert await status_of("collection-form", Patient.of(runtime)) is Status.FAIL
        await client.delete_collection("made")
    await runtime.store.aclose()


async def test_what_is_safe_is_mended_and_told() -> None:
    patient = Patient.of(await filled(store=LacksIndexes()))
    findings = await examine(patient)
    assert [f.check for f in findings if f.status is Status.FAIL] == ["collection-indexes"]
    mended = await mend(patient, findings)
    assert not [finding for finding in mended if finding.status is Status.FAIL]
    assert [finding.fixed for finding in mended if finding.fixed] == [
        "created the index of 'content_hash' in 'c'",
        "created the index of 'document_id' in 'c'",
    ]
    assert len(mended) == len(findings) + 2
    assert await mend(patient, mended) == mended


async def test_an_error_while_mending_is_a_finding_and_hides_no_other() -> None:
    patient = Patient.of(await filled(store=RefusesIndexes()))
    findings = await examine(patient)
    mended = await mend(patient, findings)
    failures = [finding for finding in mended if finding.status is Status.FAIL]
    assert {finding.check for finding in failures} == {"collection-indexes"}
    told = [finding for finding in failures if "nobody answers at http://qdrant" in finding.detail]
    assert [(one.fixed, bool(one.remedy)) for one in told] == [("", True)]
    assert [f for f in mended if f.check != "collection-indexes"] == [
        f for f in findings if f.check != "collection-indexes"
    ]


async def test_failures_that_are_not_safe_to_mend_stay() -> None:
    patient = Patient.of(await filled(store=HoldsLongVectors()))
    findings = await examine(patient)
    assert await mend(patient, findings) == findings


async def test_a_store_that_is_down_or_could_not_be_opened_is_found() -> None:
    assert await status_of("store-reachable", Patient.of(joined())) is Status.OK
    patient = Patient.of(joined(store=IsDown()))
    assert await status_of("store-reachable", patient) is Status.FAIL
    assert await status_of("collection-form", patient) is Status.SKIP
    locked = Patient(load_settings(environ={}), patient.profile)
    locked.errors["store"] = StoreLocked("process 7 has it")
    (finding,) = await found_by("store-reachable", locked)
    assert finding.status is Status.FAIL
    assert "process 7" in finding.detail
