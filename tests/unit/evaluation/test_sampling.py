"""Chunks to ask about: an order that stays, as many questions as are wanted, nothing that cannot be held."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.errors import InvalidRequest
from gateway.evaluation.draft import Draft
from gateway.evaluation.sampling import Pool, chunks_to_ask
from gateway.vectorstores.memory import MemoryStore
from tests.contract.stores import unit

pytestmark = pytest.mark.anyio

LONG = "long enough to be asked about, surely " * 3


async def filled(*documents: str, text: str = LONG) -> MemoryStore:
    """A store whose collection `c` has one chunk of each document."""
    store = MemoryStore()
    await store.ensure(CollectionSpec("c", "p", "s", 16))
    await put(store, documents, text)
    return store


async def put(store: MemoryStore, documents: Sequence[str], text: str = LONG) -> None:
    chunks = [Chunk(each, 0, text, 5, 5 + len(text), 9, 1, "hash") for each in documents]
    await store.upsert("c", [EmbeddedChunk(chunk, unit(1), "t", "s") for chunk in chunks])


async def asked(
    store: MemoryStore, draft: Draft, want: int, *, skip: Sequence[str] = (), seed: int = 0
) -> list[str]:
    """Ask about every chunk but those of `skip`; return the documents in order."""
    told: list[str] = []
    async for stored in chunks_to_ask(
        Pool(store, "c", seed=seed, warn=told.append), draft, want, fewest=1
    ):
        document = stored.chunk.document_id
        told.append(document)
        draft.skip(stored) if document in skip else draft.add(stored, f"What of {document}?")
    return told


def draft(folder: Path) -> Draft:
    return Draft(folder, "c")


async def test_more_questions_go_on_where_fewer_ended(tmp_path: Path) -> None:
    store = await filled(*(f"d{number}" for number in range(40)))
    whole = await asked(store, draft(tmp_path / "whole"), 9)
    first = await asked(store, draft(tmp_path / "parts"), 4)
    await put(store, [f"later{number}" for number in range(2)])
    rest = await asked(store, draft(tmp_path / "parts"), 9)
    assert len(draft(tmp_path / "parts")) == len(set(first + rest)) == 9
    assert [each for each in first + rest if not each.startswith("later")] == whole[
        : 9 - sum(each.startswith("later") for each in rest)
    ]
    assert await asked(store, draft(tmp_path / "parts"), 9) == []


async def test_another_seed_is_another_order_and_asks_nothing_twice(tmp_path: Path) -> None:
    store = await filled(*(f"d{number}" for number in range(12)))
    orders = [await asked(store, draft(tmp_path / f"{seed}"), 12, seed=seed) for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    first = await asked(store, draft(tmp_path / "mixed"), 5)
    assert len({*first, *await asked(store, draft(tmp_path / "mixed"), 12, seed=1)}) == 12


async def test_the_next_chunk_takes_the_place_of_a_skipped_one(
    tmp_path: Path,
) -> None:
    store = await filled(*(f"d{number}" for number in range(12)))
    order = await asked(store, draft(tmp_path / "all"), 12)
    skipped = [order[0], order[2], order[3]]
    assert await asked(store, draft(tmp_path / "some"), 4, skip=skipped) == order[:7]
    assert len(draft(tmp_path / "some")) == 4


async def test_a_pool_says_when_there_is_no_other_chunk(tmp_path: Path) -> None:
    store = await filled("d1", "d2", "d3")
    pool, some = Pool(store, "c", seed=0, warn=print), draft(tmp_path)
    async for stored in chunks_to_ask(pool, some, 3):
        some.add(stored, f"What of {stored.chunk.document_id}?")
    assert not pool.exhausted, "as many as were wanted"
    async for stored in chunks_to_ask(pool, some, 5):
        some.add(stored, f"What of {stored.chunk.document_id}?")
    assert (pool.exhausted, len(some)) == (True, 3)


async def test_short_chunks_are_not_asked_about(tmp_path: Path) -> None:
    store = await filled("d1", "d2")
    await put(store, ["short"], text="too short")
    assert sorted(await asked(store, draft(tmp_path), 9)) == ["d1", "d2"]


async def test_without_a_chunk_to_ask_about_no_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"no chunk of 80 characters .*ingest documents first"):
        await asked(await filled("d1", text="short"), draft(tmp_path / "set"), 3)
    with pytest.raises(InvalidRequest, match=r"no chunk .*left out: 1, .*'two\\tparts'"):
        await asked(await filled("two\tparts"), draft(tmp_path / "set"), 3)
    assert not (tmp_path / "set").exists()


async def test_chunks_whose_ids_judgments_cannot_hold_are_left_out_and_told_once(
    tmp_path: Path,
) -> None:
    store = await filled("d1", "two\tparts", "blank ", "d2")
    warning, *rest = await asked(store, draft(tmp_path), 2, skip=["d1", "d2"])
    assert "left out: 2, of documents such as" in warning
    assert "tabs, line breaks" in warning
    assert sorted(rest) == ["d1", "d2"]
