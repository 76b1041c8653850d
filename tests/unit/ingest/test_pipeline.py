"""Ingest: what is stored, what is skipped, what is reported, and that nothing is lost."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

import pytest

from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import Chunk, Document, EmbeddedChunk, chunk_id
from gateway.domain.search import Eq
from gateway.embedding.catalog import ALL_MINILM_L6_V2
from gateway.embedding.embedder import Embedder
from gateway.encoders.fake import FakeEncoder
from gateway.errors import (
    PayloadTooLarge,
    SpaceMismatch,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamUnavailable,
)
from gateway.events import DocumentDone, Event
from gateway.ingest.items import ReadFailure, ReadItem
from gateway.ingest.lines import ndjson_items
from gateway.ingest.pipeline import IngestOptions, Ingestor
from gateway.ingest.report import MAX_PROBLEMS, IngestAborted, IngestReport, Outcome, Progress, Row
from tests.support.ingesting import (
    COLLECTION,
    CountingEncoder,
    FailingStore,
    SlowHeadStore,
    make_embedder,
    make_spec,
)

pytestmark = pytest.mark.anyio

SMALL = IngestOptions(batch=4, in_flight=3, window_documents=5, window_characters=20_000)


class Bench:
    """An ingestor over a counting encoder and a store that can fail."""

    def __init__(self, *, chunk_tokens: int = 32, options: IngestOptions = SMALL) -> None:
        self.encoder = CountingEncoder()
        self.store = FailingStore()
        self.embedder = make_embedder(self.encoder)
        self.events: list[Event] = []
        self.rows: list[Row] = []
        self.spec = make_spec(self.embedder)
        self.ingestor = Ingestor(
            self.embedder,
            self.store,
            chunk_tokens=chunk_tokens,
            options=options,
            sink=self.events.append,
        )

    async def ingest(
        self, items: Iterable[ReadItem], *, allow_prompted: bool = False
    ) -> IngestReport:
        self.rows.clear()
        return await self.ingestor.ingest(
            self.spec, items, on_document=self.rows.append, allow_prompted=allow_prompted
        )

    async def chunks(self, document_id: str) -> list[Chunk]:
        where = Eq("document_id", document_id)
        found = [stored.chunk async for stored in self.store.scroll(COLLECTION, where)]
        return sorted(found, key=lambda chunk: chunk.index)


def words(name: str, count: int) -> str:
    """A text of `count` sentences, about ten tokens each, that all hold `name`."""
    return " ".join(f"{name} says sentence number {n} of many words here." for n in range(count))


def corpus(count: int) -> list[ReadItem]:
    return [Document(f"d{n}", words(f"name{n}", 1 + n % 9), title=f"T{n}") for n in range(count)]


async def test_every_chunk_of_every_document_is_stored_exactly() -> None:
    bench = Bench()
    documents = corpus(23)
    report = await bench.ingest(documents)
    assert report.totals.added == 23
    assert report.complete
    total = 0
    for document in documents:
        assert isinstance(document, Document)
        chunks = await bench.chunks(document.id)
        total += len(chunks)
        assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
        for chunk in chunks:
            assert document.text[chunk.start : chunk.end] == chunk.text
            assert chunk.tokens <= 32
            assert chunk.document_chunks == len(chunks)
            assert chunk.title == document.title
    assert report.totals.chunks == total == await bench.store.count(COLLECTION)
    assert report.totals.tokens == sum(row.tokens for row in bench.rows)
    assert report.totals.truncated_tokens == 0
    assert sum(row.chunks for row in bench.rows) == total


async def test_stored_vectors_are_those_of_the_titled_chunk() -> None:
    bench = Bench()
    await bench.ingest([Document("d", "some text", title="T")])
    (stored,) = await bench.store.get(COLLECTION, [chunk_id(COLLECTION, "d", 0)], with_vectors=True)
    assert bench.encoder.texts == ["title: T | text: some text"]
    assert stored.vector is not None
    assert stored.vector.shape == (128,)


async def test_ingesting_twice_encodes_nothing_the_second_time() -> None:
    bench = Bench()
    await bench.ingest(corpus(23))
    before = [stored async for stored in bench.store.scroll(COLLECTION)]
    bench.encoder.texts.clear()
    upserts = bench.store.upserts
    report = await bench.ingest(corpus(23))
    assert report.totals.unchanged == 23
    assert report.totals.chunks == 0
    assert bench.encoder.texts == []
    assert (bench.store.upserts, bench.store.deletes) == (upserts, 0)
    assert [stored async for stored in bench.store.scroll(COLLECTION)] == before


async def test_a_changed_document_loses_its_surplus_chunks() -> None:
    bench = Bench()
    await bench.ingest([Document("a", words("old", 9)), Document("b", words("old", 9))])
    report = await bench.ingest([Document("a", words("new", 2))])
    assert report.totals.updated == 1
    chunks = await bench.chunks("a")
    assert "".join(chunk.text for chunk in chunks).count("new") == 2
    assert len(chunks) == chunks[0].document_chunks < len(await bench.chunks("b"))
    assert bench.store.deletes == 1


async def test_a_document_that_grew_deletes_nothing() -> None:
    bench = Bench()
    await bench.ingest([Document("a", words("old", 2))])
    assert (await bench.ingest([Document("a", words("old", 9))])).totals.updated == 1
    assert bench.store.deletes == 0


@pytest.mark.parametrize(
    "changed",
    [
        Document("a", "text", title="U"),
        Document("a", "text", title="T", metadata={"k": 2}),
        Document("a", "text", title="T", metadata={"k": 1}, format="markdown"),
        Document("a", "text ", title="T", metadata={"k": 1}),
    ],
)
async def test_any_change_of_content_is_an_update(changed: Document) -> None:
    bench = Bench()
    await bench.ingest([Document("a", "text", title="T", metadata={"k": 1})])
    assert (await bench.ingest([changed])).totals.updated == 1


async def test_other_chunk_sizes_are_an_update() -> None:
    bench = Bench()
    await bench.ingest([Document("a", words("x", 5))])
    other = Ingestor(bench.embedder, bench.store, chunk_tokens=64, options=SMALL)
    report = await other.ingest(bench.spec, [Document("a", words("x", 5))])
    assert report.totals.updated == 1
    assert (await other.ingest(bench.spec, [Document("a", words("x", 5))])).totals.unchanged == 1


@pytest.mark.parametrize("lost", [0, 2, -1])
async def test_a_document_with_a_missing_chunk_is_healed(lost: int) -> None:
    bench = Bench()
    document = Document("a", words("x", 9))
    await bench.ingest([document])
    chunks = await bench.chunks("a")
    await bench.store.delete(COLLECTION, Eq("chunk_index", chunks[lost].index))
    assert (await bench.ingest([document])).totals.unchanged == 0
    assert await bench.chunks("a") == chunks
    assert (await bench.ingest([document])).totals.unchanged == 1


async def test_surplus_left_by_a_crash_is_removed() -> None:
    """The new version was written, the process died before the old tail was deleted."""
    bench, clean = Bench(), Bench()
    await bench.ingest([Document("a", words("old", 9))])
    await clean.ingest([Document("a", words("new", 3))])
    fresh = [stored async for stored in clean.store.scroll(COLLECTION, with_vectors=True)]
    await bench.store.upsert(
        COLLECTION,
        [
            EmbeddedChunk(s.chunk, s.vector, s.ingested_at, s.space)
            for s in fresh
            if s.vector is not None
        ],
    )
    report = await bench.ingest([Document("a", words("new", 3))])
    assert report.totals.updated == 1
    assert await bench.chunks("a") == await clean.chunks("a")


async def test_an_ingest_that_was_cut_off_is_completed_by_the_next() -> None:
    documents = corpus(40)
    bench = Bench()
    bench.store.error, bench.store.after = UpstreamUnavailable("down", service="qdrant"), 12
    with pytest.raises(IngestAborted) as caught:
        await bench.ingest(documents)
    aborted = caught.value
    assert isinstance(aborted.cause, UpstreamUnavailable)
    assert aborted.service == "qdrant"
    assert not aborted.report.complete
    assert aborted.report.totals.added == len(bench.rows) > 0
    done = {row.document_id for row in bench.rows}
    assert done.isdisjoint(aborted.report.not_ingested)
    assert aborted.report.not_ingested
    assert aborted.report.totals.chunks == await bench.store.count(COLLECTION)
    assert "run the same ingest again" in str(aborted)

    bench.store.after = None
    report = await bench.ingest(documents)
    assert report.totals.unchanged >= len(done)
    assert report.totals.added + report.totals.updated + report.totals.unchanged == 40
    clean = Bench()
    await clean.ingest(documents)
    for document in documents:
        assert isinstance(document, Document)
        assert await bench.chunks(document.id) == await clean.chunks(document.id)


async def test_later_chunks_wait_for_the_first_of_their_document() -> None:
    """So a crash leaves no chunk that a later, shorter version would not know of."""
    store = SlowHeadStore()
    bench = Bench()
    ingestor = Ingestor(bench.embedder, store, chunk_tokens=32, options=SMALL)
    await ingestor.ingest(bench.spec, [Document(f"d{n}", words("x", 40)) for n in range(4)])
    heads: set[str] = set()
    for chunk in store.acknowledged:
        if chunk.index == 0:
            heads.add(chunk.document_id)
        assert chunk.document_id in heads
    assert len(store.acknowledged) == await store.count(COLLECTION)


async def test_an_overloaded_service_passes_its_advice_on() -> None:
    bench = Bench()
    bench.encoder.down["name3"] = UpstreamOverloaded("full", service="tei", retry_after_seconds=7)
    with pytest.raises(IngestAborted) as caught:
        await bench.ingest(corpus(9))
    assert (caught.value.service, caught.value.retry_after_seconds) == ("tei", 7)


async def test_one_bad_document_fails_alone() -> None:
    bench = Bench()
    bench.encoder.broken.add("zeros")
    bench.encoder.refused["poison"] = UpstreamRejected("no", service="tei")
    bad = {
        "prompted": Document("prompted", "title: none | text: already there"),
        "mark": Document("mark", "text", title="a | text: b"),
        "nul": Document("nul", "a\x00b"),
        "surrogate": Document("surrogate", "a\ud800b"),
        "title": Document("title", words("x", 9), title="long " * 60),
        "zeros": Document("zeros", "a text of zeros"),
        "poison": Document("poison", "a text of poison"),
        "nan": Document("nan", "text", metadata={"n": float("nan")}),
        "ring": Document("ring", "text", metadata={"n": [[]]}),
    }
    ring: list[object] = []
    ring.append(ring)
    bad["ring"] = Document("ring", "text", metadata={"n": ring})  # type: ignore[dict-item]
    good = corpus(20)
    items: list[ReadItem] = []
    for at, item in enumerate(good):
        items.append(item)
        items.extend(list(bad.values())[at : at + 1])
    report = await bench.ingest(items)
    assert (report.totals.added, report.totals.failed) == (20, 9)
    reasons = {row.document_id: row.reason for row in report.problems}
    assert set(reasons) == set(bad)
    assert reasons["prompted"].startswith("double-prompt")
    assert reasons["mark"].startswith("double-prompt")
    assert reasons["nul"].startswith("invalid-text")
    assert reasons["surrogate"].startswith("invalid-text")
    assert reasons["title"].startswith("invalid-document")
    assert reasons["zeros"].startswith("degenerate-vector")
    assert reasons["poison"].startswith("upstream-rejected")
    assert "metadata.n" in reasons["nan"]
    assert reasons["ring"].startswith("invalid-document")
    for name in bad:
        assert await bench.chunks(name) == []


@pytest.mark.parametrize("whole", [False, True], ids=["each text", "the whole call"])
async def test_a_service_that_refuses_everything_stops_the_ingest(whole: bool) -> None:
    bench = Bench()
    words_of = bench.encoder.down if whole else bench.encoder.refused
    words_of["text"] = UpstreamRejected("wrong model", service="tei")
    with pytest.raises(IngestAborted, match="wrong model"):
        await bench.ingest(corpus(9))


async def test_a_service_that_fails_on_every_text_stops_the_ingest() -> None:
    bench = Bench()
    bench.encoder.refused["text"] = UpstreamUnavailable("out of memory", service="tei")
    with pytest.raises(IngestAborted, match="out of memory") as caught:
        await bench.ingest([Document("a", words("x", 9))])
    assert caught.value.report.not_ingested == ("a",)
    bench.encoder.refused = {"number 5": UpstreamUnavailable("out of memory", service="tei")}
    report = await bench.ingest([Document("a", words("x", 4)), Document("b", words("y", 9))])
    assert (report.totals.added, report.totals.failed) == (1, 1)
    assert report.problems[0].reason.startswith("upstream-unavailable")


async def test_a_guilty_chunk_costs_its_document_alone_and_nothing_is_embedded_twice() -> None:
    bench = Bench(options=IngestOptions(batch=64, in_flight=1))
    bench.encoder.refused["poison"] = UpstreamRejected("no", service="tei")
    bench.encoder.broken.add("zeros")
    good = corpus(9)
    guilty = [
        Document(name, words(name.upper(), 9) + f" It ends in {name}.")
        for name in ("poison", "zeros")
    ]
    report = await bench.ingest([*good[:4], guilty[0], *good[4:], guilty[1]])
    assert (report.totals.added, report.totals.failed) == (9, 2)
    reasons = {row.document_id: row.reason for row in report.problems}
    assert reasons["poison"].startswith("upstream-rejected: input ")
    assert reasons["zeros"].startswith("degenerate-vector: input ")
    assert await bench.chunks("poison") == await bench.chunks("zeros") == []
    assert len(bench.encoder.texts) == len(set(bench.encoder.texts))


async def test_a_document_that_the_store_refuses_fails_alone_without_a_second_embedding() -> None:
    class Picky(FailingStore):
        async def upsert(self, name: str, chunks: Sequence[EmbeddedChunk]) -> None:
            if any(item.chunk.document_id == "d4" for item in chunks):
                raise UpstreamRejected("too large a point", service="qdrant")
            await super().upsert(name, chunks)

    bench = Bench()
    ingestor = Ingestor(bench.embedder, Picky(), chunk_tokens=32, options=SMALL)
    report = await ingestor.ingest(bench.spec, corpus(9))
    assert (report.totals.added, report.totals.failed) == (8, 1)
    assert [row.document_id for row in report.problems] == ["d4"]
    assert len(bench.encoder.texts) == len(set(bench.encoder.texts))


async def test_a_blank_title_counts_as_none() -> None:
    bench = Bench()
    report = await bench.ingest([Document("d", "some text", title=" \u00a0")])
    assert report.totals.added == 1
    assert bench.encoder.texts == ["title: none | text: some text"]


async def test_a_document_that_fails_in_the_middle_says_what_was_stored() -> None:
    bench = Bench(options=IngestOptions(batch=2, in_flight=1))
    bench.encoder.broken.add("number 8")
    report = await bench.ingest([Document("a", words("x", 9))])
    (row,) = report.problems
    assert row.outcome is Outcome.FAILED
    assert f"({row.chunks} of its" in row.reason
    assert row.chunks == await bench.store.count(COLLECTION) > 0
    bench.encoder.broken.clear()
    assert (await bench.ingest([Document("a", words("x", 9))])).totals.updated == 1


async def test_a_later_chunk_may_begin_like_a_prompt_by_chance() -> None:
    text = words("x", 3) + "\n\n" + "title: none | text: this page explains the prompt. " * 3
    bench = Bench()
    assert (await bench.ingest([Document("a", text)])).totals.added == 1


async def test_prompted_documents_are_taken_when_they_are_meant() -> None:
    bench = Bench()
    document = Document("a", "title: none | text: meant")
    assert (await bench.ingest([document], allow_prompted=True)).totals.added == 1


async def test_blank_documents_are_reported_and_replace_what_was_stored() -> None:
    bench = Bench()
    await bench.ingest([Document("a", words("x", 5))])
    report = await bench.ingest([Document("a", " \n"), Document("b", "")])
    assert report.totals.empty == 2
    assert {row.reason for row in report.problems} == {"no text"}
    assert await bench.store.count(COLLECTION) == 0


async def test_what_could_not_be_read_is_in_the_report() -> None:
    bench = Bench()
    items: list[ReadItem] = [
        ReadFailure("c.jsonl", "not JSON", 3),
        *corpus(2),
        ReadFailure("x.png", "unknown kind", skipped=True),
    ]
    report = await bench.ingest(items)
    assert (report.totals.failed, report.totals.skipped, report.totals.added) == (1, 1, 2)
    assert report.totals.documents == 3
    assert [(row.source, row.line) for row in report.problems] == [("c.jsonl", 3), ("x.png", None)]


async def test_what_fails_after_it_was_read_is_named_by_its_line() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"id": "a", "text": "x"}\n\n{"id": "b", "text": "x", "title": "m | text: n"}\n'
        yield b'{"id": "c", "text": ""}\n'

    bench = Bench()
    report = await bench.ingestor.ingest(
        bench.spec, ndjson_items(body(), source="api"), on_document=bench.rows.append
    )
    assert [(row.document_id, row.line) for row in report.problems] == [("b", 3), ("c", 4)]
    assert [row.line for row in bench.rows] == [1, 3, 4]


async def test_of_an_id_given_twice_the_later_document_stays() -> None:
    bench = Bench()
    items: list[ReadItem] = []
    for n in range(30):
        items.append(Document("same", words(f"version{n}", 1 + n % 7)))
        items.append(Document(f"other{n}", "text"))
    report = await bench.ingest(items)
    assert (report.totals.added, report.totals.updated) == (31, 29)
    chunks = await bench.chunks("same")
    assert all("version29" in chunk.text for chunk in chunks)
    assert len(chunks) == chunks[0].document_chunks


async def test_a_stream_that_breaks_off_keeps_what_came_before() -> None:
    async def body() -> AsyncIterator[ReadItem]:
        for item in corpus(7):
            yield item
        raise PayloadTooLarge("over the limit")

    bench = Bench()
    with pytest.raises(PayloadTooLarge):
        await bench.ingestor.ingest(bench.spec, body(), on_document=bench.rows.append)
    assert {row.document_id for row in bench.rows} == {f"d{n}" for n in range(7)}
    assert len(bench.rows) == 7
    assert all([await bench.chunks(f"d{n}") for n in range(7)])


async def test_a_plain_iterator_that_breaks_off_keeps_what_came_before() -> None:
    def body() -> Iterator[ReadItem]:
        yield from corpus(7)
        raise OSError("disk")

    bench = Bench()
    with pytest.raises(OSError, match="disk"):
        await bench.ingest(body())
    assert len(bench.rows) == 7


async def test_batches_overlap_and_are_bounded() -> None:
    bench = Bench()
    await bench.ingest(corpus(60))
    assert 1 < bench.encoder.most_active <= SMALL.in_flight


async def test_events_and_progress_tell_the_same_as_the_report() -> None:
    bench = Bench()
    seen: list[Progress] = []
    report = await bench.ingestor.ingest(bench.spec, corpus(23), on_progress=seen.append)
    assert seen[-1].totals == report.totals
    assert [p.totals.chunks for p in seen] == sorted(p.totals.chunks for p in seen)
    assert seen[-1].chunks_per_second > 0
    done = [event for event in bench.events if isinstance(event, DocumentDone)]
    assert len(done) == 23
    assert sum(event.chunks for event in done) == report.totals.chunks
    assert {event.outcome for event in done} == {"added"}


async def test_the_report_keeps_a_bounded_number_of_problems() -> None:
    bench = Bench()
    failures = (ReadFailure("s", "broken", n) for n in range(MAX_PROBLEMS + 50))
    report = await bench.ingest(failures)
    assert (len(report.problems), report.problems_left_out) == (MAX_PROBLEMS, 50)
    assert report.totals.failed == len(bench.rows) == MAX_PROBLEMS + 50


async def test_an_empty_stream_makes_the_collection() -> None:
    bench = Bench()
    report = await bench.ingest([])
    assert report.totals.documents == 0
    assert await bench.store.count(COLLECTION) == 0


async def test_another_space_is_refused() -> None:
    bench = Bench()
    spec = CollectionSpec(COLLECTION, "other", "other:0", 128)
    with pytest.raises(SpaceMismatch):
        await bench.ingestor.ingest(spec, corpus(1))


async def test_chunks_never_exceed_a_model_with_a_small_limit() -> None:
    encoder = FakeEncoder(size=384, max_tokens=40)
    embedder = Embedder(ALL_MINILM_L6_V2, encoder)
    store = FailingStore()
    ingestor = Ingestor(embedder, store, chunk_tokens=256, options=SMALL)
    spec = CollectionSpec(COLLECTION, embedder.profile.name, embedder.space, 384)
    report = await ingestor.ingest(spec, [Document("a", words("x", 30), title="T")])
    assert report.totals.added == 1
    tokens = [stored.chunk.tokens async for stored in store.scroll(COLLECTION)]
    assert max(tokens) <= 40
