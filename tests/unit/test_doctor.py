"""Every check of the doctor on a gateway that is well, and on ones that are ill in one way each."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from gateway.bootstrap import Runtime, join
from gateway.doctor import CHECKS, Status, examine
from gateway.domain.documents import StoredChunk
from gateway.domain.search import Filter
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.encoders.fake import FakeEncoder
from gateway.errors import UpstreamUnavailable
from gateway.ingest.records import parse_record
from gateway.observability.metrics import Metrics
from gateway.ports import EncoderInfo, Encoding, Health, Lane
from gateway.settings import load_settings
from gateway.vectorstores.memory import MemoryStore

pytestmark = pytest.mark.anyio

PROMPTS = sorted(set(EMBEDDING_GEMMA_300M.prompts.values()), key=len, reverse=True)


class DropsPrompts(FakeEncoder):
    """A server that cuts our prompts off."""

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        return await super().encode([bare(text) for text in texts], lane=lane)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return await super().count_tokens([bare(text) for text in texts])


class MixesUpBatches(FakeEncoder):
    """A server that answers a batch in another order."""

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        encoding = await super().encode(texts, lane=lane)
        return replace(encoding, rows=encoding.vectors[::-1])


class ClaimsToBeReal(FakeEncoder):
    """Another model that says it is EmbeddingGemma."""

    @property
    def info(self) -> EncoderInfo:
        return replace(super().info, variant="")


class IsDown(FakeEncoder):
    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        raise UpstreamUnavailable("nobody answers at http://tei", service="tei")

    async def health(self) -> Health:
        return Health("tei", ok=False, detail="nobody answers at http://tei")


class HoldsLongVectors(MemoryStore):
    """A store that something else wrote to."""

    async def scroll(
        self, name: str, where: Filter | None = None, *, with_vectors: bool = False
    ) -> AsyncIterator[StoredChunk]:
        async for chunk in super().scroll(name, where, with_vectors=with_vectors):
            assert chunk.vector is not None
            yield replace(chunk, vector=chunk.vector * 2)


def bare(text: str) -> str:
    for prompt in PROMPTS:
        text = text.removeprefix(prompt)
    return text


async def opened(encoder: FakeEncoder, store: MemoryStore | None = None) -> Runtime:
    """A gateway with one document in the collection `c`."""
    runtime = join(
        load_settings(environ={}),
        Embedder(EMBEDDING_GEMMA_300M, encoder),
        store or MemoryStore(),
        metrics=Metrics(),
    )
    spec = await runtime.collections.create("c")
    if not isinstance(encoder, IsDown):
        await runtime.ingestor.ingest(spec, [parse_record({"id": "a", "text": "Mars is red"})])
    return runtime


async def statuses(runtime: Runtime) -> dict[str, set[Status]]:
    found: dict[str, set[Status]] = {}
    for finding in await examine(runtime):
        found.setdefault(finding.check, set()).add(finding.status)
        assert finding.status in {Status.OK, Status.SKIP} or finding.remedy
    return found


async def test_a_gateway_that_is_well_passes_every_check() -> None:
    found = await statuses(await opened(FakeEncoder()))
    assert set(CHECKS) <= set(found)
    assert found.pop("goldens") == {Status.SKIP}
    assert {status for group in found.values() for status in group} == {Status.OK}


@pytest.mark.parametrize(
    ("encoder", "check"),
    [
        (DropsPrompts(), "prompts"),
        (MixesUpBatches(), "batch"),
        (ClaimsToBeReal(), "goldens"),
        (IsDown(), "encoder-reachable"),
        (IsDown(), "vectors"),
    ],
    ids=["drops prompts", "mixes up batches", "another model", "is down", "cannot embed"],
)
async def test_an_encoder_that_is_ill_is_found_by_its_check(
    encoder: FakeEncoder, check: str
) -> None:
    assert Status.FAIL in (await statuses(await opened(encoder)))[check]


async def test_vectors_that_something_else_wrote_are_found() -> None:
    found = await statuses(await opened(FakeEncoder(), HoldsLongVectors()))
    assert found["collection"] == {Status.FAIL}


async def test_a_collection_of_another_model_is_a_warning() -> None:
    runtime = await opened(FakeEncoder())
    await runtime.store.ensure(replace(runtime.collections.spec("f"), space="other:0"))
    assert (await statuses(runtime))["collection"] == {Status.OK, Status.WARN}
