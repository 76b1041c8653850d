"""Documents in, acknowledged vectors out: read, compare, split, embed, store, all bounded."""

from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

from gateway.domain.collections import CollectionSpec, require_space
from gateway.embedding.embedder import Embedder
from gateway.errors import UpstreamError
from gateway.events import Sink, discard
from gateway.ingest.chunking import Chunker, Counter
from gateway.ingest.claims import Claims
from gateway.ingest.flow import Flow, WindowWork
from gateway.ingest.items import ReadItem
from gateway.ingest.prepare import Preparer
from gateway.ingest.report import IngestAborted, IngestReport, Progress, Row, Tally
from gateway.ingest.stored import StoredDocuments
from gateway.ingest.windows import Windower, windows
from gateway.ingest.write import Writer
from gateway.ports import VectorStore


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What may be in memory and in flight at once.

    `batch` chunks go to the encoder and the store together, `in_flight` batches at a time; a window
    holds `window_documents` documents or `window_characters` characters, and two are worked on.
    """

    batch: int = 64
    in_flight: int = 4
    window_documents: int = 256
    window_characters: int = 1 << 20


DEFAULT_OPTIONS = IngestOptions()


class Ingestor:
    """Ingests streams of documents into collections of the embedder's space.

    Of one id in two ingests at once, one version follows the other whole, if both use this object.
    """

    def __init__(
        self,
        embedder: Embedder,
        store: VectorStore,
        *,
        chunk_tokens: int = 256,
        overlap_tokens: int = 0,
        options: IngestOptions = DEFAULT_OPTIONS,
        sink: Sink = discard,
    ) -> None:
        """Split to `chunk_tokens` (never above the model's limit) with `overlap_tokens` shared.

        Raises:
            ConfigurationError: sizes that leave no room for text.
        """
        self._embedder = embedder
        self._store = store
        self._options = options
        self._sink = sink
        self._claims = Claims()
        self.chunker = Chunker(
            _counter(embedder),
            max_tokens=chunk_tokens,
            overlap_tokens=overlap_tokens,
            limit=embedder.max_tokens,
        )

    async def ingest(
        self,
        spec: CollectionSpec,
        items: AsyncIterable[ReadItem] | Iterable[ReadItem],
        *,
        on_progress: Callable[[Progress], None] | None = None,
        on_document: Callable[[Row], None] | None = None,
        allow_prompted: bool = False,
    ) -> IngestReport:
        """Store all documents of a stream that are not stored already; make the collection.

        A document that cannot be ingested fails alone and is named in the report. Of one id given
        twice the later document stays. `allow_prompted` accepts texts that begin with a prompt of
        the model. Both callbacks run on the event loop.

        Raises:
            SpaceMismatch, CollectionMismatch: the collection may not be written.
            IngestAborted: a service failed for good; the report so far is on it.
            Whatever the stream itself raises, after what it gave before is stored.
        """
        require_space(spec, self._embedder.space)
        stored = await self._store.ensure(spec)
        tally = Tally(on_document, on_progress)
        flow = Flow(self._work(stored, tally, allow_prompted).on)
        options = self._options
        windower = Windower(
            documents=options.window_documents, characters=options.window_characters
        )
        try:
            async with aclosing(windows(items, windower)) as stream:
                await flow.drain(stream)
        except UpstreamError as exc:
            left = (*flow.unfinished(), *windower.gathered())
            raise IngestAborted(exc, tally.report(spec.name, left)) from exc
        return tally.report(spec.name)

    def _work(self, spec: CollectionSpec, tally: Tally, allow_prompted: bool) -> WindowWork:
        embedder, store, options = self._embedder, self._store, self._options
        stored = StoredDocuments(store, spec.name, spec.space)
        preparer = Preparer(embedder, self.chunker, stored, allow_prompted=allow_prompted)
        writer = Writer(
            embedder, store, spec, tally, batch=options.batch, in_flight=options.in_flight
        )
        return WindowWork(
            spec.name, self._claims, preparer, writer, stored, tally=tally, sink=self._sink
        )


def _counter(embedder: Embedder) -> Counter:
    """Return the model's counter; titles are left out for a model that takes none."""
    count = embedder.document_counter()
    if embedder.profile.title_rule is not None:
        return count
    return lambda text, _title: count(text, None)
