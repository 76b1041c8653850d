"""One suite judges every vector store: memory, Qdrant's client in memory, embedded, and servers."""

import asyncio
import random
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from gateway.domain.collections import CollectionSpec, FieldType, StoredForm
from gateway.domain.documents import chunk_id
from gateway.domain.search import And, Eq, Exists, Filter, In, Not, Or, Range
from gateway.errors import (
    CollectionMismatch,
    CollectionNotFound,
    DegenerateVector,
    GatewayError,
    InvalidFilter,
    InvalidRequest,
    InvalidText,
    SpaceMismatch,
)
from gateway.ports import VectorStore
from gateway.vectorstores.memory import MemoryStore
from tests.contract.stores import (
    SIZE,
    SPEC,
    asking,
    drained,
    made,
    random_filter,
    random_metadata,
    unit,
)

pytestmark = pytest.mark.anyio


async def test_a_new_collection_is_described_and_listed(store: VectorStore) -> None:
    other = replace(SPEC, name="another", filter_fields={})
    assert await store.ensure(other) == other
    await store.upsert("docs", [made("a")])
    assert (await store.describe("docs")).chunks == 1
    assert (await store.describe("docs")).spec == SPEC
    assert await store.spec("another") == other
    assert [info.spec.name for info in await store.list_collections()] == ["another", "docs"]


async def test_ensuring_twice_keeps_what_is_stored(store: VectorStore) -> None:
    await store.upsert("docs", [made("a")])
    assert await store.ensure(replace(SPEC, profile="renamed")) == SPEC
    assert await store.count("docs") == 1


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (replace(SPEC, space="space-2"), SpaceMismatch),
        (replace(SPEC, size=SIZE * 2), CollectionMismatch),
        (replace(SPEC, filter_fields={"year": FieldType.KEYWORD}), CollectionMismatch),
        (replace(SPEC, filter_fields={"unknown": FieldType.KEYWORD}), CollectionMismatch),
    ],
    ids=["space", "size", "field type", "new field"],
)
async def test_a_collection_of_another_kind_is_refused(
    store: VectorStore, asked: CollectionSpec, error: type[GatewayError]
) -> None:
    with pytest.raises(error, match="docs"):
        await store.ensure(asked)


async def test_a_collection_has_the_form_it_was_made_with(store: VectorStore) -> None:
    await store.upsert("docs", [made("a")])
    assert await store.inspect("docs") == StoredForm("dot", SIZE)
    assert await store.mend_indexes("docs") == []
    assert await store.count("docs") == 1
    for ask in (store.inspect, store.mend_indexes):
        with pytest.raises(CollectionNotFound, match="absent"):
            await ask("absent")


async def test_a_dropped_collection_is_gone_and_may_be_made_anew(store: VectorStore) -> None:
    await store.upsert("docs", [made("a")])
    await store.drop("docs")
    assert await store.list_collections() == []
    with pytest.raises(CollectionNotFound, match="docs"):
        await store.drop("docs")
    await store.ensure(replace(SPEC, size=8, space="space-2"))
    assert await store.count("docs") == 0
    await store.upsert("docs", [made("a", vector=unit(1, 8), space="space-2")])
    assert await store.count("docs") == 1


async def test_every_call_on_an_unknown_collection_names_it(store: VectorStore) -> None:
    calls = [
        store.spec("nope"),
        store.describe("nope"),
        store.drop("nope"),
        store.upsert("nope", [made()]),
        store.delete("nope", Eq("document_id", "d")),
        store.get("nope", [UUID(int=1)]),
        store.count("nope"),
        store.query("nope", asking(unit(1), 1)),
        drained(store, "nope"),
    ]
    for call in calls:
        with pytest.raises(CollectionNotFound, match="nope"):
            await call


async def test_a_chunk_comes_back_as_it_was_stored(store: VectorStore) -> None:
    metadata: dict[str, Any] = {
        "clé": ["é", None, 1, 2.5, True, {"x": []}],
        "large": "x" * 50_000,
        "big": 2**62,
        "float": 3.0,
        "": "empty key",
        "a.b": "dotted",
        "null": None,
    }
    stored = made(
        "документ/1 😀",
        3,
        metadata=metadata,
        text="línea\r\n\x00二\u2028",
        title="Überschrift",
        heading_path=("A", "", "Ж"),
    )
    await store.upsert("docs", [stored])
    key = chunk_id("docs", "документ/1 😀", 3)
    (found,) = await store.get("docs", [key], with_vectors=True)
    assert found.id == key
    assert found.chunk == stored.chunk
    assert found.ingested_at == stored.ingested_at
    assert found.vector is not None
    assert found.vector.dtype == np.float32
    np.testing.assert_array_equal(found.vector, stored.vector)
    (hit,) = await store.query("docs", asking(stored.vector, 1))
    assert (hit.id, hit.chunk, hit.ingested_at) == (key, stored.chunk, stored.ingested_at)


async def test_upserting_twice_equals_upserting_once(store: VectorStore) -> None:
    chunks = [made("d", index) for index in range(5)]
    await store.upsert("docs", chunks)
    first = await drained(store, "docs")
    await store.upsert("docs", chunks)
    assert await drained(store, "docs") == first


async def test_the_same_id_replaces_the_whole_point(store: VectorStore) -> None:
    await store.upsert("docs", [made(metadata={"old": 1}, title="Old")])
    await store.upsert("docs", [made(vector=unit(7), metadata={"new": 2})])
    (found,) = await store.get("docs", [chunk_id("docs", "d", 0)], with_vectors=True)
    assert found.chunk.metadata == {"new": 2}
    assert found.chunk.title is None
    np.testing.assert_array_equal(found.vector, unit(7))
    assert await store.count("docs", Exists("metadata.old")) == 0


async def test_of_the_same_id_in_one_call_the_last_one_stays(store: VectorStore) -> None:
    await store.upsert("docs", [made(title="1"), made("e"), made(title="2")])
    assert await store.count("docs") == 2
    (found,) = await store.get("docs", [chunk_id("docs", "d", 0)])
    assert found.chunk.title == "2"


async def test_upserting_nothing_changes_nothing(store: VectorStore) -> None:
    await store.upsert("docs", [])
    assert await store.count("docs") == 0


async def test_more_points_than_one_batch_are_all_stored(store: VectorStore) -> None:
    await store.upsert("docs", [made("d", index) for index in range(1_100)])
    assert await store.count("docs") == 1_100
    found = await drained(store, "docs")
    assert sorted(stored.chunk.index for stored in found) == list(range(1_100))
    assert [stored.id.int for stored in found] == sorted(stored.id.int for stored in found)


BAD_ROWS = {
    "nan": np.full(SIZE, np.nan, np.float32),
    "infinite": np.full(SIZE, np.inf, np.float32),
    "zeros": np.zeros(SIZE, np.float32),
    "not unit": unit(1) * np.float32(1.01),
    "too short": unit(1, SIZE // 2),
    "float64": unit(1).astype(np.float64),
}


@pytest.mark.parametrize("bad", BAD_ROWS)
async def test_a_bad_vector_is_refused_and_nothing_of_the_call_is_applied(
    store: VectorStore, bad: str
) -> None:
    rows = [made("a"), made("b", vector=BAD_ROWS[bad]), made("c")]
    with pytest.raises(DegenerateVector):
        await store.upsert("docs", rows)
    assert await store.count("docs") == 0
    assert await drained(store, "docs") == []


@pytest.mark.parametrize("bad", BAD_ROWS)
async def test_a_bad_query_vector_is_refused(store: VectorStore, bad: str) -> None:
    with pytest.raises(DegenerateVector):
        await store.query("docs", asking(BAD_ROWS[bad], 1))


@pytest.mark.parametrize(
    ("metadata", "text", "error"),
    [
        ({"year": "2024"}, "t", InvalidRequest),
        ({"tag": ["a", 1]}, "t", InvalidRequest),
        ({"weight": True}, "t", InvalidRequest),
        ({"at": "yesterday"}, "t", InvalidRequest),
        ({"x": float("nan")}, "t", InvalidRequest),
        ({"x": 2**64}, "t", InvalidRequest),
        ({"x": b"bytes"}, "t", InvalidRequest),
        ({"x": ["\ud800"]}, "t", InvalidText),
        ({}, "lone \udfff", InvalidText),
    ],
    ids=["int", "keyword", "float", "time", "nan", "big", "bytes", "surrogate", "text"],
)
async def test_a_payload_that_would_change_on_the_way_is_refused_whole(
    store: VectorStore, metadata: dict[str, object], text: str, error: type[InvalidRequest]
) -> None:
    with pytest.raises(error) as caught:
        await store.upsert("docs", [made("a"), made("b", metadata=metadata, text=text)])
    assert caught.value.index == 1
    assert caught.value.field is not None
    assert await store.count("docs") == 0


async def test_get_keeps_the_order_asked_and_leaves_out_what_is_missing(
    store: VectorStore,
) -> None:
    await store.upsert("docs", [made("d", index) for index in range(4)])
    ids = [chunk_id("docs", "d", index) for index in (3, 99, 0, 2)]
    found = await store.get("docs", ids)
    assert [stored.chunk.index for stored in found] == [3, 0, 2]
    assert all(stored.vector is None for stored in found)
    assert await store.get("docs", []) == []


async def test_deleting_by_filter_leaves_the_rest(store: VectorStore) -> None:
    await store.upsert("docs", [made(name, index) for name in "ab" for index in range(4)])
    await store.delete("docs", And((Eq("document_id", "a"), Range("chunk_index", gte=2))))
    left = {(found.chunk.document_id, found.chunk.index) for found in await drained(store, "docs")}
    assert left == {("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2), ("b", 3)}
    await store.delete("docs", Eq("document_id", "nobody"))
    await store.delete("docs", In("document_id", ()))
    assert await store.count("docs") == 6
    await store.delete("docs", And(()))
    assert await store.count("docs") == 0


MIXED: dict[str, dict[str, Any]] = {
    "one": {"n": 1, "tag": ["a", "b"], "open": True, "at": "2024-05-01T00:00:00Z"},
    "one point": {"n": 1.0, "tag": "a", "open": False, "at": "2024-05-01T02:00:00+02:00"},
    "true": {"n": True, "tag": [], "year": 2024, "deep": {"year": 1}},
    "text": {"n": "1", "tag": None, "year": [2023, 2025], "my key": "v"},
    "none": {},
}


CASES: list[tuple[Filter, set[str]]] = [
    (Eq("metadata.n", 1), {"one", "one point"}),
    (Eq("metadata.n", True), {"true"}),
    (Eq("metadata.n", "1"), {"text"}),
    (In("metadata.n", (True, "1")), {"true", "text"}),
    (In("metadata.n", ()), set[str]()),
    (Eq("metadata.tag", "b"), {"one"}),
    (In("metadata.tag", ("a", "z")), {"one", "one point"}),
    (Eq("metadata.open", False), {"one point"}),
    (Exists("metadata.tag"), {"one", "one point"}),
    (Not(Exists("metadata.n")), {"none"}),
    (Range("metadata.n", gte=1), {"one", "one point"}),
    (Range("metadata.n", gt=1), set[str]()),
    (Range("metadata.year", gt=2024), {"text"}),
    (Range("metadata.year", gt=2023.5, lt=2024.5), {"true"}),
    (
        Range("metadata.at", gte="2024-05-01", lt="2024-05-01T00:00:00.000001Z"),
        {"one", "one point"},
    ),
    (Range("ingested_at", lt="2026-02-01"), set(MIXED)),
    (Eq("metadata.deep.year", 1), {"true"}),
    (Eq("metadata.my key", "v"), {"text"}),
    (Eq("title", "T"), {"none"}),
    (Not(Eq("document_id", "none")), set(MIXED) - {"none"}),
    (Or((Eq("document_id", "one"), Eq("content_hash", "hash-none"))), {"one", "none"}),
    (Or(()), set[str]()),
    (And(()), set(MIXED)),
    (Not(Or((Exists("metadata.n"), Eq("metadata.n", "none")))), {"none"}),
    (Eq("chunk_index", 0.0), set(MIXED)),
    (Eq("chunk_index", 0.5), set[str]()),
]


@pytest.mark.parametrize(("where", "expected"), CASES, ids=[str(case[0]) for case in CASES])
async def test_a_filter_means_what_it_says(where: Filter, expected: set[str]) -> None:
    """The oracle by hand; the random filters below hold every store to it."""
    store = MemoryStore()
    await store.ensure(SPEC)
    await _fill(store)
    found = {stored.chunk.document_id for stored in await drained(store, "docs", where)}
    assert found == expected


async def test_every_store_agrees_on_the_cases_by_hand(store: VectorStore) -> None:
    await _fill(store)
    for where, expected in CASES:
        found = {stored.chunk.document_id for stored in await drained(store, "docs", where)}
        assert found == expected, where


async def _fill(store: VectorStore) -> None:
    titles = {"none": "T"}
    await store.upsert(
        "docs", [made(name, metadata=data, title=titles.get(name)) for name, data in MIXED.items()]
    )


@pytest.mark.parametrize(
    "where",
    [
        Eq("text", "x"),
        Eq("metadata", "x"),
        Eq("metadata.", "x"),
        Eq("metadata.a[0]", "x"),
        Eq("nonsense", "x"),
        Eq("metadata.x", float("nan")),
        Eq("metadata.x", 2**70),
        Eq("metadata.x", "\ud800"),
        Range("metadata.x"),
        Range("metadata.x", gt="yesterday"),
        Range("metadata.x", gt="2024-01-01", lt=3),
        Range("metadata.x", gt=float("inf")),
        Range("metadata.x", gt=True),
        And((Or((Not(Eq("bad", 1)),)),)),
    ],
    ids=repr,
)
async def test_a_filter_without_sense_is_refused_before_any_engine_sees_it(where: Filter) -> None:
    store = MemoryStore()
    await store.ensure(SPEC)
    with pytest.raises(InvalidFilter):
        await store.count("docs", where)
    with pytest.raises(InvalidFilter):
        await store.delete("docs", where)


@pytest.mark.parametrize("seed", range(3))
async def test_random_filters_match_what_memory_matches(store: VectorStore, seed: int) -> None:
    rng = random.Random(seed)
    oracle = MemoryStore()
    await oracle.ensure(SPEC)
    chunks = [
        made(
            f"d{number % 7}",
            number // 7,
            metadata=random_metadata(rng),
            title=rng.choice([None, "a", "1"]),
        )
        for number in range(200)
    ]
    await asyncio.gather(oracle.upsert("docs", chunks), store.upsert("docs", chunks))
    for _ in range(150):
        where = random_filter(rng)
        expected = [found.id for found in await drained(oracle, "docs", where)]
        assert [found.id for found in await drained(store, "docs", where)] == expected, where
        assert await store.count("docs", where) == len(expected), where
        query = asking(unit(rng.randint(0, 99)), 5, where=where)
        hits = [hit.id for hit in await oracle.query("docs", query)]
        assert [hit.id for hit in await store.query("docs", query)] == hits, where


async def test_a_query_ranks_by_dot_product(store: VectorStore) -> None:
    await store.upsert("docs", [made("d", index) for index in range(50)])
    rows = np.stack([made("d", index).vector for index in range(50)])
    for exact in (False, True):
        hits = await store.query("docs", asking(unit(9), 10, exact=exact))
        expected = np.argsort(-(rows @ unit(9)))[:10]
        assert [hit.chunk.index for hit in hits] == expected.tolist()
        scores = [hit.score for hit in hits]
        np.testing.assert_allclose(scores, (rows @ unit(9))[expected], atol=2e-6)


async def test_pages_of_a_query_join_to_the_whole(store: VectorStore) -> None:
    await store.upsert("docs", [made("d", index) for index in range(30)])
    whole = await store.query("docs", asking(unit(9), 30))
    pages = [await store.query("docs", asking(unit(9), 7, offset=o)) for o in (0, 7, 14, 21, 28)]
    assert [hit for page in pages for hit in page] == whole
    assert await store.query("docs", asking(unit(9), 5, offset=30)) == []


async def test_ties_are_ordered_by_id_even_across_the_end_of_a_page(store: VectorStore) -> None:
    near, far = unit(1), unit(2)
    await store.upsert(
        "docs", [made(f"n{i}", vector=near) for i in range(60)] + [made("x", vector=far)]
    )
    ids = sorted((chunk_id("docs", f"n{i}", 0) for i in range(60)), key=lambda key: key.int)
    for limit, offset in ((5, 0), (10, 5), (3, 57)):
        hits = await store.query("docs", asking(near, limit, offset=offset))
        assert [hit.id for hit in hits] == ids[offset : offset + limit]


async def test_a_score_threshold_keeps_what_reaches_it(store: VectorStore) -> None:
    await store.upsert("docs", [made("d", index) for index in range(40)])
    whole = await store.query("docs", asking(unit(9), 40))
    edge = whole[7].score
    kept = await store.query("docs", asking(unit(9), 40, score_threshold=edge))
    assert kept == whole[:8]
    assert await store.query("docs", asking(unit(9), 40, score_threshold=1.5)) == []
    everything = await store.query("docs", asking(unit(9), 40, score_threshold=-1.0))
    assert everything == whole


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 10_000}, "limit"),
        ({"score_threshold": float("nan")}, "score_threshold"),
    ],
    ids=["limit", "offset", "window", "threshold"],
)
async def test_a_query_out_of_range_is_refused(
    store: VectorStore, change: dict[str, float], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await store.query("docs", replace(asking(unit(1), 1), **change))
    assert caught.value.field == field


async def test_writers_and_readers_at_once_see_whole_points(store: VectorStore) -> None:
    async def write(number: int) -> None:
        for index in range(5):
            await store.upsert(
                "docs", [made(f"w{number}", i) for i in range(index * 8, index * 8 + 8)]
            )

    async def read() -> None:
        for seed in range(10):
            for hit in await store.query("docs", asking(unit(seed), 5)):
                assert hit.chunk.text == f"text {hit.chunk.index} of {hit.chunk.document_id}"
            await store.count("docs", Eq("document_id", "w1"))

    await asyncio.gather(*(write(number) for number in range(6)), *(read() for _ in range(4)))
    assert await store.count("docs") == 6 * 40


async def test_a_store_says_how_it_is_and_may_be_closed_twice(store: VectorStore) -> None:
    assert (await store.health()).ok
    await store.aclose()
    await store.aclose()


async def test_a_caller_may_change_its_metadata_after_the_call(store: VectorStore) -> None:
    metadata = {"list": [1]}
    await store.upsert("docs", [made(metadata=metadata)])
    metadata["list"].append(2)
    (found,) = await drained(store, "docs")
    assert found.chunk.metadata == {"list": [1]}
