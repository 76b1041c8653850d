"""The corpus of a golden set into a scratch collection, by the real ingest or whole."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.bootstrap import Runtime
from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import Chunk, Document, EmbeddedChunk, content_hash
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.errors import InvalidGoldenSet
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.plan import Progress
from gateway.ingest.items import ReadItem
from gateway.ingest.report import IngestReport, Outcome
from gateway.ingest.report import Progress as IngestProgress

BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Indexed:
    """What indexing made. `failed` says of some documents why they are not in the collection."""

    chunks: int
    tokens: int
    truncated_tokens: int = 0
    truncated: int = 0
    failures: int = 0
    failed: tuple[str, ...] = ()


async def ingest(
    runtime: Runtime, golden: GoldenSet, spec: CollectionSpec, progress: Progress
) -> Indexed:
    """Index by the ingest pipeline, as a user's documents are.

    Raises:
        InvalidGoldenSet: nothing could be indexed.
        UpstreamError: encoder or store failed.
    """
    what, total = f"indexing at size {spec.size}", golden.documents or 0

    def tell(now: IngestProgress) -> None:
        progress(what, now.totals.documents, total)

    report = await runtime.ingestor.ingest(
        spec, golden.corpus(), on_progress=tell, allow_prompted=True
    )
    _require_some(report.totals.chunks, golden)
    return Indexed(
        chunks=report.totals.chunks,
        tokens=report.totals.tokens,
        failures=report.totals.failed,
        failed=_reasons(report),
    )


async def ingest_whole(
    runtime: Runtime, golden: GoldenSet, spec: CollectionSpec, progress: Progress
) -> Indexed:
    """Index every document as one text, cut at the model's limit: how published figures are made.

    A title stands before the text, by the model's own form where it has one, else with a space.

    Raises:
        InvalidGoldenSet: nothing could be indexed.
        UpstreamError: encoder or store failed.
    """
    store, embedder = runtime.store, runtime.embedder
    await store.ensure(spec)
    what, total = f"indexing whole at size {spec.size}", golden.documents or 0
    chunks = tokens = cut = lost = done = 0
    failed: list[str] = []
    for batch in _batches(golden.corpus(), BATCH):
        inputs = [_input(embedder, document) for document in batch]
        made = await embedder.embed(
            Task.DOCUMENT, inputs, size=spec.size, allow_prompted=True, truncate=True, partial=True
        )
        failed += [f"{batch[i].id!r}: {made.refused[i]}" for i in sorted(made.refused)]
        counts = await _counts(embedder, inputs)
        now = datetime.now(UTC).isoformat()
        rows = [
            EmbeddedChunk(_chunk(batch[i], inputs[i], counts[i]), made.rows[i], now, embedder.space)
            for i in range(len(batch))
            if i not in made.refused
        ]
        await store.upsert(spec.name, rows)
        chunks, tokens, done = chunks + len(rows), tokens + made.tokens, done + len(batch)
        cut += len(made.truncated)
        lost += sum(each.lost for each in made.truncated)
        progress(what, done, total)
    _require_some(chunks, golden)
    return Indexed(chunks, tokens, lost, cut, len(failed), tuple(failed[:3]))


def _batches(items: Iterable[ReadItem], size: int) -> Iterator[list[Document]]:
    """Documents with text, `size` at a time; `GoldenSet.load` has seen that all can be read."""
    batch: list[Document] = []
    for item in items:
        if isinstance(item, Document) and item.text.strip():
            batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _input(embedder: Embedder, document: Document) -> Input:
    if document.title is None:
        return Input(document.text)
    if embedder.profile.title_rule is not None:
        return Input(document.text, document.title)
    return Input(f"{document.title} {document.text}")


async def _counts(embedder: Embedder, inputs: Sequence[Input]) -> list[int]:
    render = embedder.profile.render
    texts = [render(Task.DOCUMENT, item.text, item.title) for item in inputs]
    counts = await embedder.encoder.count_tokens(texts)
    return [min(count, embedder.max_tokens) for count in counts]


def _chunk(document: Document, item: Input, tokens: int) -> Chunk:
    """Return the document as its only chunk, whose text is what the model read the beginning of."""
    return Chunk(
        document_id=document.id,
        index=0,
        text=item.text,
        start=0,
        end=len(document.text),
        tokens=tokens,
        document_chunks=1,
        content_hash=content_hash(document, chunking="whole"),
        title=item.title,
        metadata=document.metadata,
        source=document.source,
    )


def _reasons(report: IngestReport) -> tuple[str, ...]:
    rows = [row for row in report.problems if row.outcome is Outcome.FAILED]
    return tuple(f"{row.document_id!r}: {row.reason}" for row in rows[:3])


def _require_some(chunks: int, golden: GoldenSet) -> None:
    if not chunks:
        raise InvalidGoldenSet(f"no document of golden set {golden.name!r} could be indexed")
