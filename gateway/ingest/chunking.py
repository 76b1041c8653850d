"""Documents into chunks that the model can read whole.

How: count the document (a sample of a long one) once, which gives its characters per token; split by
characters at semantic boundaries with a tenth to spare; count every piece with the model's own
tokenizer; split those that are over into even parts. Exact counting inside the splitter fills chunks
about 13% better and costs four times the tokenizer's work (docs/decisions). The budget holds for any
counter, because no chunk leaves without having been counted. A tokenizer may also read a run of any
length as one unknown token: chunks have a bound in characters as well.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from gateway.domain.documents import Chunk, Document
from gateway.embedding.texts import require_text
from gateway.errors import ConfigurationError, InvalidDocument
from gateway.ingest.markdown import find_headings, heading_paths

Counter: TypeAlias = Callable[[str, str | None], int]
"""Tokens of (text, title) as the model reads them: prompt, title, text and specials. Blocking."""

VERSION: Final = 2
"""Part of every content hash: raise it when the same document would be split otherwise."""

MOST_CHARACTERS_PER_TOKEN: Final = 64
"""Bounds a chunk's characters by its budget; text that a model can read has far fewer a token."""

_SPARE: Final = 0.9
_SAMPLE_CHARACTERS_PER_TOKEN: Final = 32
_SAMPLES: Final = 8


@dataclass(frozen=True, slots=True)
class Span:
    """A chunk's place in its document, in characters, and its tokens with prompt and title."""

    start: int
    end: int
    tokens: int


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """Where a document will be cut. Chunks are made slice by slice, so that few exist at once."""

    document: Document
    content_hash: str
    spans: Sequence[Span]
    paths: Sequence[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def tokens(self) -> int:
        return sum(span.tokens for span in self.spans)

    def chunks(self, start: int = 0, stop: int | None = None) -> list[Chunk]:
        """Return the chunks of a range of places; all of them by default."""
        return [self._chunk(index) for index in range(len(self.spans))[start:stop]]

    def _chunk(self, index: int) -> Chunk:
        span, document = self.spans[index], self.document
        return Chunk(
            document_id=document.id,
            index=index,
            text=document.text[span.start : span.end],
            start=span.start,
            end=span.end,
            tokens=span.tokens,
            document_chunks=len(self.spans),
            content_hash=self.content_hash,
            title=_title(document),
            heading_path=self.paths[index],
            metadata=document.metadata,
            source=document.source,
        )


class Chunker:
    """Splits documents so that every chunk has at most `budget` tokens by `counter`.

    Nor has it more than `MOST_CHARACTERS_PER_TOKEN` times as many characters.

    `counter` may wait for a server: call `plan` in worker threads only.
    """

    def __init__(
        self,
        counter: Counter,
        *,
        max_tokens: int = 256,
        overlap_tokens: int = 0,
        limit: int | None = None,
    ) -> None:
        """Split to `max_tokens`, never above the model's `limit`; overlap is approximate.

        Raises:
            ConfigurationError: sizes that leave no room for new text.
        """
        self.budget: Final = max_tokens if limit is None else min(max_tokens, limit)
        if self.budget < 1:
            raise ConfigurationError(
                f"chunks of {self.budget} tokens hold nothing; take 16 or more"
            )
        require_overlap(overlap_tokens, self.budget)
        self._counter = counter
        self._overlap = overlap_tokens

    @property
    def signature(self) -> str:
        """All that decides where a text is cut, besides the tokenizer (which the space names)."""
        return f"v{VERSION} {self.budget} {self._overlap}"

    def plan(self, document: Document, content_hash: str = "") -> ChunkPlan:
        """Cut one document; a blank one has no chunks.

        Together the chunks hold every character that is not white space, in order.

        Raises:
            InvalidText: a text or title that no tokenizer takes.
            InvalidDocument: the title leaves no room for text.
        """
        text, title = document.text, _title(document)
        if not text.strip():
            return ChunkPlan(document, content_hash, (), ())
        require_text(text)
        if title is not None:
            require_text(title, field="title")
        spans = _Cut(self, document).spans()
        paths = _paths(document, spans)
        return ChunkPlan(document, content_hash, spans, paths)

    def count(self, text: str, title: str | None) -> int:
        return self._counter(text, title)

    @property
    def overlap(self) -> int:
        return self._overlap

    @property
    def most_characters(self) -> int:
        """Return the most characters of a chunk, whatever its tokens."""
        return self.budget * MOST_CHARACTERS_PER_TOKEN


class _Cut:
    """The work on one document. `base` is what prompt, title and specials take of the budget."""

    def __init__(self, chunker: Chunker, document: Document) -> None:
        self._chunker = chunker
        self._text = document.text
        self._title = _title(document)
        self._splitter = MarkdownSplitter if document.format == "markdown" else TextSplitter
        self._base = 0

    def spans(self) -> list[Span]:
        text, budget, most = self._text, self._chunker.budget, self._chunker.most_characters
        sample = _sample(text, budget * _SAMPLE_CHARACTERS_PER_TOKEN)
        counted = self._count(sample)
        if sample is text and counted <= budget:
            return [Span(0, len(text), counted)]
        self._base = self._count("a") - 1
        per_character = max(counted - self._base, 1) / len(sample)
        if len(text) <= most and self._base + per_character * len(text) <= budget:
            counted = self._count(text)
            if counted <= budget:
                return [Span(0, len(text), counted)]
        if self._room() < 1:
            raise self._no_room()
        capacity = min(most, max(1, int(self._room() / per_character * _SPARE)))
        overlap = int(self._chunker.overlap / per_character)
        return self._verified(self._split(0, len(text), capacity, overlap), overlap)

    def _verified(self, places: list[tuple[int, int]], overlap: int) -> list[Span]:
        """Count every piece, and split what is over again and again until it fits."""
        spans: list[Span] = []
        todo = places[::-1]
        while todo:
            start, end = todo.pop()
            tokens = self._count(self._text[start:end])
            if tokens <= self._chunker.budget:
                spans.append(Span(start, end, tokens))
            else:
                todo.extend(reversed(self._smaller(start, end, tokens, overlap)))
        return _in_order(spans) if overlap else spans

    def _smaller(self, start: int, end: int, tokens: int, overlap: int) -> list[tuple[int, int]]:
        """Split an oversize piece into even parts, each shorter than the piece."""
        length = end - start
        if length == 1:
            raise self._no_room()
        parts = max(2, -(-(tokens - self._base) // self._room()))
        capacity = max(1, min(length - 1, int(length / parts * 1.15)))
        return self._split(start, end, capacity, overlap)

    def _split(self, start: int, end: int, capacity: int, overlap: int) -> list[tuple[int, int]]:
        """Places of pieces of at most `capacity` characters, trimmed, none of them blank."""
        splitter = self._splitter(capacity, overlap=min(overlap, capacity // 2), trim=True)
        pieces = splitter.chunk_indices(self._text[start:end])
        return [
            (start + offset, start + offset + len(piece))
            for offset, piece in pieces
            if not piece.isspace()
        ]

    def _count(self, text: str) -> int:
        return self._chunker.count(text, self._title)

    def _room(self) -> int:
        return self._chunker.budget - self._base

    def _no_room(self) -> InvalidDocument:
        budget = self._chunker.budget
        if self._title is None:
            return InvalidDocument(
                f"the prompt takes {self._base} of the {budget} tokens of a chunk and leaves no "
                "room for text; raise ingest.chunk_tokens",
                field="text",
            )
        return InvalidDocument(
            f"its title takes {self._base} of the {budget} tokens of a chunk (with the prompt) and "
            "leaves no room for text; shorten the title or raise ingest.chunk_tokens",
            field="title",
        )


def _title(document: Document) -> str | None:
    """Return the title; a blank one, as a heading of spaces gives it, counts as none."""
    return document.title if document.title and document.title.strip() else None


def _in_order(spans: Sequence[Span]) -> list[Span]:
    """Sort overlapping spans, and drop those that lie inside another."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or span.end > kept[-1].end:
            kept.append(span)
    return kept


def _sample(text: str, size: int) -> str:
    """Return the text itself, or evenly spaced slices of a long one: `size` characters in all."""
    if len(text) <= size:
        return text
    width = max(1, size // _SAMPLES)
    step = (len(text) - width) // (_SAMPLES - 1)
    return "".join(text[at * step : at * step + width] for at in range(_SAMPLES))


def _paths(document: Document, spans: Sequence[Span]) -> list[tuple[str, ...]]:
    """Return, for each span, the headings in force where its text begins, its own first included."""
    headings = find_headings(document.text) if document.format == "markdown" else []
    if not headings:
        return [()] * len(spans)
    offsets = [heading.offset for heading in headings]
    paths = heading_paths(headings)
    return [paths[bisect_right(offsets, _first_ink(document.text, span))] for span in spans]


def _first_ink(text: str, span: Span) -> int:
    """Return the place of the first character of a span that is not white space."""
    piece = text[span.start : span.end]
    return span.start + len(piece) - len(piece.lstrip())


def require_overlap(overlap_tokens: int, budget: int) -> None:
    """Refuse an overlap that is negative or more than half of a chunk of `budget` tokens.

    Raises:
        ConfigurationError: names the range.
    """
    if not 0 <= overlap_tokens <= budget // 2:
        raise ConfigurationError(
            f"an overlap of {overlap_tokens} tokens does not fit chunks of {budget}; "
            f"take 0 to {budget // 2}"
        )
