"""Ingests at the same time: of each document one whole version stays."""

import asyncio
import random
from collections.abc import Sequence
from uuid import UUID

import pytest

from gateway.domain.documents import Chunk, Document, EmbeddedChunk, StoredChunk
from gateway.domain.search import Eq, Filter
from gateway.errors import UpstreamUnavailable
from gateway.ingest.claims import Claims
from gateway.ingest.pipeline import IngestOptions, Ingestor
from gateway.ingest.report import IngestAborted
from gateway.vectorstores.memory import MemoryStore
from tests.support.ingesting import (
    COLLECTION,
    CountingEncoder,
    FailingStore,
    make_embedder,
    make_spec,
)

pytestmark = pytest.mark.anyio

SMALL = IngestOptions(batch=3, in_flight=2, window_documents=4)


class SlowStore(MemoryStore):
    """Every call takes a while, each time another one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    async def upsert(self, name: str, chunks: Sequence[EmbeddedChunk]) -> None:
        await self._dawdle()
        await super().upsert(name, chunks)

    async def delete(self, name: str, where: Filter) -> None:
        await self._dawdle()
        await super().delete(name, where)

    async def get(
        self, name: str, ids: Sequence[UUID], *, with_vectors: bool = False
    ) -> list[StoredChunk]:
        await self._dawdle()
        return await super().get(name, ids, with_vectors=with_vectors)

    async def _dawdle(self) -> None:
        await asyncio.sleep(self._random.uniform(0, 0.003))


def ingestor(store: MemoryStore) -> Ingestor:
    return Ingestor(make_embedder(CountingEncoder()), store, chunk_tokens=32, options=SMALL)


SPEC = make_spec(make_embedder(CountingEncoder()))


def version(name: str, sentences: int, document_id: str = "d") -> Document:
    text = " ".join(f"{name} says sentence {n} of many words here." for n in range(sentences))
    return Document(document_id, text)


async def chunks_of(store: MemoryStore, document_id: str = "d") -> list[Chunk]:
    where = Eq("document_id", document_id)
    found = [stored.chunk async for stored in store.scroll(COLLECTION, where)]
    return sorted(found, key=lambda chunk: chunk.index)


@pytest.mark.parametrize("seed", range(4))
async def test_two_versions_ingested_at_once_do_not_mix(seed: int) -> None:
    store = SlowStore(seed)
    shared = ingestor(store)
    one, two = version("alpha", 20 + seed), version("beta", 25 - 3 * seed)

    reports = await asyncio.gather(
        *(shared.ingest(SPEC, [document]) for document in (one, two)),
    )

    chunks = await chunks_of(store)
    assert len({chunk.content_hash for chunk in chunks}) == 1
    assert [chunk.index for chunk in chunks] == list(range(chunks[0].document_chunks))
    assert [(r.totals.added, r.totals.updated) for r in reports] == [(1, 0), (0, 1)]
    assert "beta" in chunks[0].text


async def test_many_overlapping_ingests_leave_one_version_of_every_document() -> None:
    store = SlowStore(7)
    shared = ingestor(store)
    ids = [f"d{n}" for n in range(10)]

    async def ingest(turn: int) -> tuple[int, int]:
        order = random.Random(turn).sample(ids, len(ids))
        documents = [version(f"turn{turn}", 2 + (turn + at) % 9, i) for at, i in enumerate(order)]
        totals = (await shared.ingest(SPEC, documents)).totals
        return totals.added, totals.updated

    async with asyncio.timeout(30):
        reports = await asyncio.gather(*map(ingest, range(6)))

    for name in ids:
        chunks = await chunks_of(store, name)
        assert len({chunk.content_hash for chunk in chunks}) == 1
        assert [chunk.index for chunk in chunks] == list(range(chunks[0].document_chunks))
    assert sum(added for added, _ in reports) == len(ids)
    assert sum(updated for _, updated in reports) == 5 * len(ids)


async def test_the_same_version_ingested_at_once_is_written_once() -> None:
    store = SlowStore(3)
    shared = ingestor(store)

    reports = await asyncio.gather(*(shared.ingest(SPEC, [version("a", 9)]) for _ in range(3)))

    assert [r.totals.added for r in reports] == [1, 0, 0]
    assert [r.totals.unchanged for r in reports] == [0, 1, 1]


class StuckStore(FailingStore):
    """Never ends an upsert while it is `stuck`; `reached` says that one has come so far."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck = False
        self.reached = asyncio.Event()

    async def upsert(self, name: str, chunks: Sequence[EmbeddedChunk]) -> None:
        if self.stuck:
            self.reached.set()
            await asyncio.Event().wait()
        await super().upsert(name, chunks)


async def test_an_ingest_that_fails_or_is_cancelled_lets_the_next_one_in() -> None:
    store = StuckStore()
    store.error, store.after = UpstreamUnavailable("down", service="qdrant"), 1
    shared = ingestor(store)
    with pytest.raises(IngestAborted):
        await shared.ingest(SPEC, [version("a", 30)])
    store.after, store.stuck = None, True
    stopped = asyncio.create_task(shared.ingest(SPEC, [version("b", 30)]))
    async with asyncio.timeout(10):
        await store.reached.wait()
        stopped.cancel()
        await asyncio.gather(stopped, return_exceptions=True)
        assert stopped.cancelled()
        store.stuck = False
        report = await shared.ingest(SPEC, [version("c", 5)])

    assert report.totals.updated == 1
    assert "".join(chunk.text for chunk in await chunks_of(store)).count("c says") == 5


async def hold(claims: Claims, name: str, ids: str, log: list[str], collection: str = "c") -> None:
    async with claims.hold(collection, ids):
        log.append(f"+{name}")
        await asyncio.sleep(0.01)
        log.append(f"-{name}")


async def test_claims_wait_only_for_earlier_ones_to_the_same_documents() -> None:
    claims, log = Claims(), list[str]()
    async with asyncio.timeout(5):
        await asyncio.gather(
            hold(claims, "1", "ab", log),
            hold(claims, "2", "bc", log),
            hold(claims, "3", "d", log),
            hold(claims, "4", "ca", log),
            hold(claims, "5", "ab", log, collection="other"),
        )
    assert log[:3] == ["+1", "+3", "+5"]
    assert log.index("-1") < log.index("+2") < log.index("-2") < log.index("+4")


async def test_a_claim_given_up_while_it_waits_opens_nothing_early() -> None:
    claims, log = Claims(), list[str]()
    first = asyncio.create_task(hold(claims, "1", "a", log))
    given_up = asyncio.create_task(hold(claims, "2", "ab", log))
    last = asyncio.create_task(hold(claims, "3", "a", log))
    free = asyncio.create_task(hold(claims, "4", "b", log))
    await asyncio.sleep(0)
    given_up.cancel()
    async with asyncio.timeout(5):
        await asyncio.gather(first, last, free)
    assert given_up.cancelled()
    assert log[:2] == ["+1", "+4"]
    assert log.index("-1") < log.index("+3")
