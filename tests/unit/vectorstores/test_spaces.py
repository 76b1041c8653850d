"""Every write and every search is held to the collection's space, however late it changed."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from gateway.domain.documents import Document, chunk_id
from gateway.domain.search import DenseQuery, Hit
from gateway.embedding.catalog import EMBEDDING_GEMMA_2, EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.encoders.fake import FakeEncoder
from gateway.errors import SpaceMismatch
from gateway.events import discard
from gateway.ingest.pipeline import Ingestor
from gateway.ports import Encoding, Lane, VectorStore
from gateway.retrieval.collections import Collections
from gateway.retrieval.pipeline import Retriever
from gateway.vectorstores.qdrant import QdrantStore
from gateway.vectorstores.qdrant_calls import Caller
from tests.contract.stores import LOCAL, SPEC, asking, made, open_store, unit

pytestmark = pytest.mark.anyio

OTHER = replace(SPEC, space="space-2")


@pytest.fixture(params=LOCAL)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncGenerator[VectorStore, None]:
    async with open_store(request.param, tmp_path) as opened:
        await opened.ensure(SPEC)
        yield opened


async def swap(store: VectorStore) -> None:
    """What another gateway does: drop the collection, make it anew with its own model, fill it."""
    await store.drop("docs")
    await store.ensure(OTHER)
    await store.upsert("docs", [made("theirs", space=OTHER.space)])


async def test_vectors_of_another_space_are_neither_stored_nor_searched_with(
    store: VectorStore,
) -> None:
    await store.upsert("docs", [made("a")])
    with pytest.raises(SpaceMismatch, match=r"'space-1'.*'space-2'.*new collection"):
        await store.upsert("docs", [made("b"), made("c", space="space-2")])
    with pytest.raises(SpaceMismatch, match=r"'space-1'.*'space-2'"):
        await store.query("docs", DenseQuery(unit(1), 1, "space-2"))
    assert await store.count("docs") == 1


async def test_a_collection_that_was_swapped_is_refused_at_once(store: VectorStore) -> None:
    await store.upsert("docs", [made("a")])
    await swap(store)
    with pytest.raises(SpaceMismatch):
        await store.upsert("docs", [made("a")])
    with pytest.raises(SpaceMismatch):
        await store.query("docs", asking(unit(1), 5))
    assert [hit.chunk.document_id for hit in await query_other(store)] == ["theirs"]


async def test_a_stored_vector_says_its_space(store: VectorStore) -> None:
    await store.upsert("docs", [made("a")])
    (hit,) = await store.query("docs", asking(unit(1), 1))
    (stored,) = [found async for found in store.scroll("docs")]
    assert (hit.space, stored.space) == (SPEC.space, SPEC.space)


@pytest.mark.parametrize("filled", [True, False], ids=["with points", "without points"])
@pytest.mark.parametrize("act", ["write", "search"])
async def test_a_swap_by_another_process_is_noticed_in_spite_of_what_is_remembered(
    act: str, filled: bool
) -> None:
    """A spec is believed for seconds: neither a write nor an answer may rest on that."""
    client = AsyncQdrantClient(":memory:")
    ours, theirs = QdrantStore.over(client), QdrantStore.over(client)
    await ours.ensure(SPEC)
    await client.delete_collection("docs")
    await theirs.ensure(OTHER)
    if filled:
        await theirs.upsert("docs", [made("theirs", space=OTHER.space)])
    assert (await ours.spec("docs")).space == SPEC.space, "it remembers"

    write, search = ours.upsert("docs", [made("a")]), ours.query("docs", asking(unit(1), 5))
    late, unused = (write, search) if act == "write" else (search, write)
    unused.close()
    with pytest.raises(SpaceMismatch, match=r"'space-2'.*new collection"):
        await late

    assert await theirs.count("docs") == int(filled)
    assert (await ours.spec("docs")).space == OTHER.space


async def test_a_swap_between_two_requests_of_one_write_is_noticed() -> None:
    client = AsyncQdrantClient(":memory:")
    theirs = QdrantStore.over(client)

    class Interrupted(AsyncQdrantClient):
        """Another process comes in after the first request."""

        async def upsert(self, *args: Any, **how: Any) -> models.UpdateResult:
            await client.delete_collection("docs")
            await theirs.ensure(OTHER)
            return models.UpdateResult(status=models.UpdateStatus.COMPLETED)

    calls = Caller(5.0, discard)
    ours = QdrantStore(client, Interrupted(":memory:"), reads=calls, writes=calls, tuned=False)
    await ours.ensure(SPEC)
    with pytest.raises(SpaceMismatch):
        await ours.upsert("docs", [made("d", index) for index in range(600)])
    assert await theirs.count("docs") == 0


async def test_a_point_of_another_space_in_our_collection_never_becomes_a_hit() -> None:
    """A write that was under way while the collection was swapped lands in the new one."""
    client = AsyncQdrantClient(":memory:")
    store = QdrantStore.over(client)
    await store.ensure(SPEC)
    await store.upsert("docs", [made("a"), made("stray")])
    points, _ = await client.scroll("docs", limit=10, with_payload=True)
    stray = next(p.id for p in points if (p.payload or {})["document_id"] == "stray")
    await client.set_payload("docs", {"space": "space-2"}, points=[stray])

    with pytest.raises(SpaceMismatch, match=r"document 'stray'.*'space-2'.*ingest that document"):
        await store.query("docs", asking(unit(1), 5))


async def test_a_document_with_a_vector_of_another_space_is_not_unchanged() -> None:
    client = AsyncQdrantClient(":memory:")
    embedder = Embedder(EMBEDDING_GEMMA_300M, FakeEncoder())
    store = QdrantStore.over(client)
    collections, ingestor = Collections(embedder, store), Ingestor(embedder, store)
    spec, documents = (
        await collections.create("docs"),
        [Document("a", "red"), Document("b", "blue")],
    )
    await ingestor.ingest(spec, documents)
    stray = str(chunk_id("docs", "a", 0))
    await client.set_payload("docs", {"space": "space-2"}, points=[stray])

    totals = (await ingestor.ingest(spec, documents)).totals

    assert (totals.added, totals.unchanged) == (1, 1)
    assert {stored.space async for stored in store.scroll("docs")} == {embedder.space}


class Swapped:
    """Two gateways at one server, of which theirs swaps the collection."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        self.client = client
        self.ours, self.theirs = QdrantStore.over(client), QdrantStore.over(client)

    async def swap(self) -> None:
        embedder = Embedder(EMBEDDING_GEMMA_2, FakeEncoder())
        await self.client.delete_collection("docs")
        await Collections(embedder, self.theirs).create("docs")


async def test_an_ingest_is_stopped_by_a_swap_after_the_collection_was_opened() -> None:
    both = Swapped(AsyncQdrantClient(":memory:"))
    embedder = Embedder(EMBEDDING_GEMMA_300M, FakeEncoder())
    collections = Collections(embedder, both.ours)
    spec = await collections.create("docs")

    async def documents() -> AsyncGenerator[Document, None]:
        yield Document("a", "Mars is the red planet")
        await both.swap()

    with pytest.raises(SpaceMismatch, match=r"embeddinggemma-2\+fake.*embeddinggemma-300m\+fake"):
        await Ingestor(embedder, both.ours).ingest(spec, documents())
    assert await both.theirs.count("docs") == 0


async def test_a_search_is_refused_by_a_swap_after_the_collection_was_opened() -> None:
    both = Swapped(AsyncQdrantClient(":memory:"))

    class Late(FakeEncoder):
        """Another gateway comes in while the query is embedded."""

        async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
            await both.swap()
            return await super().encode(texts, lane=lane)

    embedder = Embedder(EMBEDDING_GEMMA_300M, Late())
    collections = Collections(embedder, both.ours)
    await collections.create("docs")
    with pytest.raises(SpaceMismatch):
        await Retriever(embedder, both.ours, collections).search("docs", "red")


async def query_other(store: VectorStore) -> list[Hit]:
    return await store.query("docs", DenseQuery(unit(1), 5, OTHER.space))
