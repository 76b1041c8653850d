"""Gateways for the doctor: well, and ill in exactly one way."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from gateway.bootstrap import Runtime, join
from gateway.doctor import CHECKS, Finding, Patient, Status, run_check
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import ModelProfile
from gateway.encoders.fake import FakeEncoder
from gateway.ingest.records import parse_record
from gateway.observability.metrics import Metrics
from gateway.ports import Encoder, VectorStore
from gateway.settings import load_settings
from gateway.vectorstores.memory import MemoryStore
from tests.support.tei_stub import TEIStub

NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})
DOCUMENTS = (
    {"id": "a", "title": "Mars", "text": "Mars is known as the red planet"},
    {"id": "b", "text": "Venus is hidden below her clouds"},
)


async def found_by(check: str, patient: Patient) -> list[Finding]:
    """Run one check."""
    return await run_check(CHECKS[check], patient)


async def status_of(check: str, patient: Patient) -> Status:
    """Run one check that finds one thing; what is not well names a remedy."""
    (finding,) = await found_by(check, patient)
    assert bool(finding.remedy) == (finding.status in {Status.WARN, Status.FAIL})
    assert finding.detail
    return finding.status


def joined(
    encoder: Encoder | None = None,
    store: VectorStore | None = None,
    profile: ModelProfile = EMBEDDING_GEMMA_300M,
    settings: Mapping[str, Any] = NO_SETTINGS,
) -> Runtime:
    """A gateway of parts at hand; `settings` say what the parts do not."""
    embedder = Embedder(profile, encoder or FakeEncoder(size=profile.full_size))
    made = load_settings(dict(settings), environ={})
    return join(made, embedder, store or MemoryStore(), metrics=Metrics())


async def filled(
    encoder: Encoder | None = None,
    store: VectorStore | None = None,
    profile: ModelProfile = EMBEDDING_GEMMA_300M,
    documents: Sequence[Any] = DOCUMENTS,
) -> Runtime:
    """A gateway with a collection `c` of some documents."""
    runtime = joined(encoder, store, profile)
    spec = await runtime.collections.create("c")
    await runtime.ingestor.ingest(spec, [parse_record(document) for document in documents])
    return runtime


@asynccontextmanager
async def before(
    *stubs: TEIStub, profile: ModelProfile = EMBEDDING_GEMMA_300M, **layer: Any
) -> AsyncGenerator[Patient]:
    """A patient whose servers are looked at past any encoder; some stubs may not be up."""
    tei = {"urls": tuple(stub.url for stub in stubs), "connect_timeout_seconds": 1.0}
    layer["tei"] = tei | layer.pop("tei", {})
    patient = Patient(load_settings(layer, environ={}), profile)
    try:
        yield patient
    finally:
        await patient.aclose()
