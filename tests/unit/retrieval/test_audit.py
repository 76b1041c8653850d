"""A collection is believed when its vectors come out of its own texts."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from gateway.domain.documents import Chunk, EmbeddedChunk, StoredChunk
from gateway.domain.search import Filter
from gateway.domain.vectors import Matrix
from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.encoders.fake import FakeEncoder
from gateway.errors import CollectionMismatch, UpstreamUnavailable
from gateway.ports import Encoding, Lane
from gateway.retrieval.audit import EMBEDDED, MEASURED
from gateway.retrieval.collections import Collections
from gateway.vectorstores.memory import MemoryStore

pytestmark = pytest.mark.anyio

TEXTS = [f"text number {number} about something" for number in range(40)]


class Counting(FakeEncoder):
    """Counts the texts it encodes; `away` says that it is down."""

    def __init__(self) -> None:
        super().__init__()
        self.encoded = 0
        self.away = False

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        if self.away:
            raise UpstreamUnavailable("down", service="fake")
        self.encoded += len(texts)
        return await super().encode(texts, lane=lane)


class Careless(MemoryStore):
    """A store that others write to behind our back: `spoil` changes what it gives back."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = 1.0
        self.negated = False
        self.looks = 0

    async def scroll(
        self, name: str, where: Filter | None = None, *, with_vectors: bool = False
    ) -> AsyncIterator[StoredChunk]:
        self.looks += 1
        async for one in super().scroll(name, where, with_vectors=with_vectors):
            assert one.vector is not None
            row = one.vector * np.float32(self.factor)
            yield replace(one, vector=-row if self.negated else row)


class Bench:
    def __init__(self) -> None:
        self.encoder, self.store = Counting(), Careless()
        self.embedder = Embedder(EMBEDDING_GEMMA_300M, self.encoder)
        self.collections = Collections(self.embedder, self.store)

    async def fill(self, title: str | None = None) -> None:
        spec = await self.collections.create("c")
        rows = (
            await self.embedder.embed(
                Task.DOCUMENT, [Input(text, title) for text in TEXTS], size=spec.size
            )
        ).vectors
        await self.store.upsert("c", chunks(rows, title, spec.space))
        self.encoder.encoded = 0


def chunks(rows: Matrix, title: str | None, space: str) -> list[EmbeddedChunk]:
    return [
        EmbeddedChunk(
            Chunk(f"d{at}", 0, text, 0, len(text), 9, 1, "hash", title=title),
            row,
            "2026-01-01",
            space=space,
        )
        for at, (text, row) in enumerate(zip(TEXTS, rows, strict=True))
    ]


@pytest.mark.parametrize("title", [None, "A title"])
async def test_a_right_collection_is_looked_at_once(title: str | None) -> None:
    bench = Bench()
    await bench.fill(title)
    for _ in range(3):
        await bench.collections.open("c")
    assert (bench.store.looks, bench.encoder.encoded) == (1, EMBEDDED)
    assert EMBEDDED < MEASURED < len(TEXTS)


async def test_a_collection_that_was_dropped_is_looked_at_again() -> None:
    bench = Bench()
    await bench.fill()
    await bench.collections.open("c")
    await bench.collections.drop("c")
    await bench.fill()
    await bench.collections.open("c")
    assert bench.store.looks == 2


async def test_vectors_that_are_not_of_unit_length_are_refused_before_anything_is_embedded() -> (
    None
):
    bench = Bench()
    await bench.fill()
    bench.store.factor = 0.58
    with pytest.raises(CollectionMismatch, match=r"not of unit length \(norm 0\.58\)"):
        await bench.collections.open("c")
    assert bench.encoder.encoded == 0


async def test_vectors_of_another_model_are_refused_every_time() -> None:
    bench = Bench()
    await bench.fill()
    bench.store.negated = True
    for _ in range(2):
        with pytest.raises(CollectionMismatch, match="not what the model makes of its text"):
            await bench.collections.open("c")
    bench.store.negated = False
    await bench.collections.open("c")


async def test_a_server_that_is_down_is_no_verdict() -> None:
    bench = Bench()
    await bench.fill()
    bench.encoder.away = True
    with pytest.raises(UpstreamUnavailable):
        await bench.collections.open("c")
    bench.encoder.away = False
    await bench.collections.open("c")


async def test_titles_are_left_out_for_a_model_that_takes_none() -> None:
    profile = replace(ALL_MINILM_L6_V2, title_rule=None)
    embedder, store = Embedder(profile, FakeEncoder(size=384)), MemoryStore()
    collections = Collections(embedder, store)
    spec = await collections.create("c")
    rows = await embedder.embed(Task.DOCUMENT, [Input(text) for text in TEXTS], size=spec.size)
    await store.upsert("c", chunks(rows.vectors, "A title", spec.space))
    await collections.open("c")
