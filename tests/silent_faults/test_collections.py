"""Collections that somebody else made, filled or changed: nothing of them reaches an answer."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from qdrant_client import AsyncQdrantClient, models

from gateway.embedding.profile import ModelProfile
from gateway.errors import CollectionMismatch
from gateway.vectorstores.memory import MemoryStore
from gateway.vectorstores.payload import VECTOR_NAME
from gateway.vectorstores.qdrant import QdrantStore
from tests.silent_faults.conftest import TINY_PROFILE, Server, profile_toml
from tests.silent_faults.marks import injects
from tests.silent_faults.trial import DOCUMENTS, NAME, Bench, over, written

pytestmark = pytest.mark.anyio

OTHER: Final = replace(TINY_PROFILE, name="tiny-embeddinggemma-2", model_id="tests/tiny-2")
"""As EmbeddingGemma 2 is to the first: same size, same prompts, another space."""


@pytest.fixture
def client() -> AsyncQdrantClient:
    """The engine behind a store, which others may write to as well."""
    return AsyncQdrantClient(":memory:")


async def points_of(client: AsyncQdrantClient, name: str = NAME) -> list[models.PointStruct]:
    """Every point of a collection with payload and vector, as a script would read them."""
    found: Any = await client.scroll(name, limit=1000, with_payload=True, with_vectors=True)
    return [
        models.PointStruct(id=one.id, vector=one.vector, payload=one.payload) for one in found[0]
    ]


def cut(points: Sequence[models.PointStruct], size: int) -> list[models.PointStruct]:
    """The mistake of many a script: the first components, and nothing more."""
    made: list[models.PointStruct] = []
    for one in points:
        named: Any = one.vector
        rows = named | {VECTOR_NAME: named[VECTOR_NAME][:size]}
        made.append(models.PointStruct(id=one.id, vector=rows, payload=one.payload))
    return made


async def remake(
    client: AsyncQdrantClient,
    *,
    size: int,
    stored_size: int,
    distance: models.Distance = models.Distance.DOT,
) -> list[models.PointStruct]:
    """Make the collection anew under its own description, of another form; returns its points."""
    points = await points_of(client)
    config = (await client.get_collection(NAME)).config
    await client.delete_collection(NAME)
    await client.create_collection(
        NAME,
        vectors_config={VECTOR_NAME: models.VectorParams(size=stored_size, distance=distance)},
        sparse_vectors_config=config.params.sparse_vectors,
        metadata=(config.metadata or {}) | {"size": size},
    )
    return points


async def filled(bench: Bench, server: Server, client: AsyncQdrantClient, size: int) -> None:
    with server() as healthy:
        settings = bench.configured(tei={"urls": [healthy.url]}, size=size)
        outcome = await bench.tried(settings, opener=over(QdrantStore.over(client)))
    outcome.require_harmless()


async def searched(
    bench: Bench, server: Server, client: AsyncQdrantClient, told: str, **changes: Any
) -> None:
    """Search alone: there are no hits, and the reason is told. Writing is refused as well."""
    with server() as healthy:
        settings = bench.configured(tei={"urls": [healthy.url]}, **changes)
        for documents in ((), DOCUMENTS):
            outcome = await bench.tried(
                settings, documents=documents, opener=over(QdrantStore.over(client))
            )
            assert outcome.hits == 0
            assert any(told in one for one in outcome.refusals), outcome.refusals


@injects("stored-cut")
async def test_a_collection_of_vectors_that_were_cut_and_not_renormalised_is_refused(
    bench: Bench, server: Server, client: AsyncQdrantClient
) -> None:
    await filled(bench, server, client, 768)
    points = await remake(client, size=256, stored_size=256)
    await client.upsert(NAME, cut(points, 256))
    await searched(bench, server, client, "is not of unit length")


@injects("cosine-collection", "euclid-collection")
async def test_a_collection_of_another_distance_is_refused(
    bench: Bench, server: Server, client: AsyncQdrantClient, fault: str
) -> None:
    await filled(bench, server, client, 256)
    named = {"cosine": models.Distance.COSINE, "euclid": models.Distance.EUCLID}
    distance = named[fault.partition("-")[0]]
    points = await remake(client, size=256, stored_size=256, distance=distance)
    await client.upsert(NAME, points)
    await searched(bench, server, client, f"by {fault.partition('-')[0]}")
    store = QdrantStore.over(client)
    assert [info.chunks for info in await store.list_collections()] == [len(DOCUMENTS)]
    await store.drop(NAME)
    assert not await store.list_collections()


@injects("collection-of-another-size")
async def test_a_collection_of_another_size_than_it_says_is_refused(
    bench: Bench, server: Server, client: AsyncQdrantClient
) -> None:
    await filled(bench, server, client, 256)
    await client.upsert(NAME, await remake(client, size=128, stored_size=256))
    await searched(bench, server, client, "compares vectors of size 256")


@injects("collection-of-another-size")
async def test_a_collection_keeps_the_size_it_was_made_with_and_another_is_refused(
    bench: Bench, server: Server
) -> None:
    store = MemoryStore()
    with server() as healthy:
        tei = {"urls": [healthy.url]}
        settings = bench.configured(tei=tei, size=256)
        (await bench.tried(settings, opener=over(store))).require_harmless()
        bigger = bench.configured(tei=tei, size=512)
        (await bench.tried(bigger, opener=over(store))).require_harmless()
        async with over(store)(bigger) as runtime:
            with pytest.raises(CollectionMismatch, match="size 256, not 512"):
                await runtime.collections.create(NAME, size=512)


@injects("collection-of-another-space")
@pytest.mark.parametrize("turn", [1, -1])
async def test_a_collection_of_another_model_of_the_same_size_is_refused_both_ways(
    bench: Bench, server: Server, tmp_path: Path, turn: int
) -> None:
    store = MemoryStore()
    first, second = [TINY_PROFILE, OTHER][::turn]
    outcome = await with_model(bench, server, tmp_path, first, store)
    assert outcome.hits > 0
    refused = await with_model(bench, server, tmp_path, second, store, judged=False)
    assert refused.hits == 0
    assert "space-mismatch" in "".join(refused.refusals)


@injects("mixed-spaces")
@pytest.mark.parametrize("few", [False, True], ids=["half-of-all", "one"])
async def test_points_copied_from_a_collection_of_another_model_are_never_hits(
    bench: Bench, server: Server, client: AsyncQdrantClient, tmp_path: Path, few: bool
) -> None:
    store = QdrantStore.over(client)
    await with_model(bench, server, tmp_path, OTHER, store, judged=False)
    foreign = await points_of(client)
    await client.delete_collection(NAME)
    await filled(bench, server, client, 256)
    await client.upsert(NAME, foreign[-1:] if few else foreign[::2])
    with server() as healthy:
        settings = bench.configured(tei={"urls": [healthy.url]})
        outcome = await bench.tried(settings, documents=(), opener=over(QdrantStore.over(client)))
    hits = [one for one in outcome.wrong if one.startswith("hit")]
    assert not hits, f"LET THROUGH: {hits}"
    assert outcome.refusals


@injects("exchanged-behind-a-collection")
async def test_a_collection_is_refused_when_other_weights_are_served_under_the_same_name(
    bench: Bench, server: Server, client: AsyncQdrantClient
) -> None:
    await filled(bench, server, client, 256)
    with server() as wrong:
        wrong.fail("other-model", times=None)
        settings = bench.configured(tei={"urls": [wrong.url]}, recording=None)
        outcome = await bench.tried(settings, opener=over(QdrantStore.over(client)))
    outcome.require_caught("is not what the model makes of its text")
    assert outcome.hits == 0
    assert outcome.points == len(DOCUMENTS)


async def with_model(
    bench: Bench,
    server: Server,
    folder: Path,
    profile: ModelProfile,
    store: Any,
    *,
    judged: bool = True,
) -> Any:
    """Ingest and search by a gateway of either model; the other one's space is a turned one."""
    profiles = written(folder / f"{profile.name}.toml", profile_toml(profile))
    with server(model_id=profile.model_id) as served:
        if profile is OTHER:
            served.fail("other-model", times=None)
        settings = bench.configured(
            tei={"urls": [served.url]},
            profile=profile.name,
            profiles_file=str(profiles),
            recording=None,
        )
        outcome = await bench.tried(settings, opener=over(store))
    if judged and profile is not OTHER:
        outcome.require_harmless()
    return outcome
