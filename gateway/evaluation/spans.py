"""Where in a document the answer to a query stands: a chunk is right if it overlaps a span."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from gateway.errors import InvalidGoldenSet
from gateway.evaluation.members import SPANS, Digest, Hashed, Members
from gateway.ingest.items import ReadFailure
from gateway.ingest.lines import MAX_LINE_BYTES, LineSplitter
from gateway.ingest.streams import PIECE_BYTES


@dataclass(frozen=True, slots=True)
class GoldSpan:
    """Characters `start:end` of a document's text."""

    document_id: str
    start: int
    end: int

    def overlaps(self, document_id: str, start: int, end: int) -> bool:
        """Tell whether a piece of a document shares a character with the span."""
        return document_id == self.document_id and start < self.end and self.start < end


def read_spans(
    members: Members,
    digest: Digest,
    *,
    queries: Collection[str],
    lengths: Mapping[str, int] | None,
) -> dict[str, tuple[GoldSpan, ...]]:
    """Read the spans by query id; none when the set has no such file.

    `lengths` are the characters of the documents' texts, None without a corpus.

    Raises:
        InvalidGoldenSet: names the line: no JSON, an unknown id, or a span outside its document.
    """
    if not members.has(SPANS):
        return {}
    where = members.shown(SPANS)
    found: dict[str, dict[GoldSpan, None]] = {}
    with members.open(SPANS) as file:
        hashed = Hashed(file)
        for number, data in _lines(hashed, where):
            query, spans = _parsed(data, f"{where} line {number}")
            if query not in queries:
                raise InvalidGoldenSet(
                    f"{where} line {number}: query {query!r} is not in the set's queries"
                )
            for span in spans:
                _require_inside(span, lengths, f"{where} line {number}")
            found.setdefault(query, {}).update(dict.fromkeys(spans))
    digest.add(SPANS, hashed.hexdigest())
    return {query: tuple(spans) for query, spans in found.items()}


def _lines(file: Hashed, where: str) -> Iterator[tuple[int, bytes]]:
    splitter = LineSplitter(source=where, max_line_bytes=MAX_LINE_BYTES)
    while data := file.read(PIECE_BYTES):
        yield from _sound(splitter.feed(data))
    yield from _sound(splitter.close())


def _sound(lines: Sequence[Any]) -> Iterator[tuple[int, bytes]]:
    for line in lines:
        if isinstance(line, ReadFailure):
            raise InvalidGoldenSet(f"{line.source} line {line.line}: {line.reason}")
        yield line.number, line.data


def _parsed(data: bytes, where: str) -> tuple[str, list[GoldSpan]]:
    try:
        row = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise InvalidGoldenSet(f"{where} is not JSON: {exc}") from exc
    try:
        query, document, pairs = str(row["query-id"]), str(row["corpus-id"]), row["char_spans"]
        places = [(_whole(start), _whole(end)) for start, end in cast("Sequence[Any]", pairs)]
    except (KeyError, TypeError, ValueError) as exc:
        raise InvalidGoldenSet(
            f"{where} is not a span; write whole numbers in "
            '{"query-id": "q1", "corpus-id": "d1", "char_spans": [[0, 80]]}'
        ) from exc
    return query, [GoldSpan(document, start, end) for start, end in places]


def _whole(place: object) -> int:
    if not isinstance(place, int) or isinstance(place, bool):
        raise TypeError(f"{place!r} is no whole number")
    return place


def _require_inside(span: GoldSpan, lengths: Mapping[str, int] | None, where: str) -> None:
    if not 0 <= span.start < span.end:
        raise InvalidGoldenSet(f"{where}: span {span.start}-{span.end} holds no character")
    if lengths is None:
        return
    if span.document_id not in lengths:
        raise InvalidGoldenSet(f"{where}: document {span.document_id!r} is not in the corpus")
    if span.end > lengths[span.document_id]:
        raise InvalidGoldenSet(
            f"{where}: span {span.start}-{span.end} ends behind document {span.document_id!r}, "
            f"which has {lengths[span.document_id]} characters"
        )
