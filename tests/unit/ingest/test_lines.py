"""NDJSON cut anywhere gives the same documents; a broken line costs itself alone."""

import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.documents import Document
from gateway.ingest.items import ReadFailure, ReadItem
from gateway.ingest.lines import Line, LineSplitter, ndjson_items, parse_line

BODY = b"".join(
    [
        b'\xef\xbb\xbf{"id": "a", "text": "one"}\r\n',
        b"\n",
        b'{"id": "b", "text": \n',
        b'{"id": "c", "text": "' + "zwölf 👩‍👩‍👧".encode() + b'"}\n',
        b'{"id": "d", "text": "' + b"x" * 500 + b'"}\n',
        b'{"id": "e", "text": "\xff"}\n',
        b'{"text": "no id"}\n',
        b"[" * 5000 + b"\n",
        b'{"id": "f", "text": "last"}',
    ]
)


def read(pieces: list[bytes]) -> list[ReadItem]:
    splitter = LineSplitter(source="s", max_line_bytes=200)
    lines = [line for piece in pieces for line in splitter.feed(piece)] + splitter.close()
    return [parse_line(line, source="s") for line in lines]


def test_good_lines_around_broken_ones_are_kept_and_the_broken_named_by_number() -> None:
    items = read([BODY])
    assert [item.id for item in items if isinstance(item, Document)] == ["a", "c", "f"]
    assert [item.line for item in items if isinstance(item, Document)] == [1, 4, 9]
    failures = {item.line: item.reason for item in items if isinstance(item, ReadFailure)}
    assert list(failures) == [3, 5, 6, 7, 8]
    assert "not JSON" in failures[3]
    assert "at most 200" in failures[5]
    assert "UTF-8" in failures[6]
    assert "_id" in failures[7]


@given(cuts=st.lists(st.integers(0, len(BODY)), max_size=30).map(sorted))
def test_it_does_not_matter_where_the_bytes_were_cut(cuts: list[int]) -> None:
    edges = [0, *cuts, len(BODY)]
    pieces = [BODY[a:b] for a, b in itertools.pairwise(edges)]
    assert read(pieces) == read([BODY])


def test_byte_by_byte_gives_the_same() -> None:
    assert read([BODY[i : i + 1] for i in range(len(BODY))]) == read([BODY])


def test_a_line_of_exactly_the_limit_passes() -> None:
    splitter = LineSplitter(max_line_bytes=4)
    assert splitter.feed(b"abcd\nabcde\nab") == [
        Line(1, b"abcd"),
        ReadFailure("", "the line has 5 bytes, at most 4; split the document", 2),
    ]
    assert splitter.close() == [Line(3, b"ab")]
    assert splitter.close() == []


def test_a_long_line_is_not_gathered() -> None:
    splitter = LineSplitter(max_line_bytes=10)
    for _ in range(1000):
        assert splitter.feed(b"x" * 1000) == []
    (failure,) = splitter.close()
    assert isinstance(failure, ReadFailure)
    assert "1000000 bytes" in failure.reason


def test_whole_numbers_of_any_length_stay_exact() -> None:
    line = Line(1, b'{"_id": 123456789012345678901234567890, "text": "x"}')
    item = parse_line(line, source="s")
    assert isinstance(item, Document)
    assert item.id == "123456789012345678901234567890"


@pytest.mark.anyio
async def test_a_streamed_body_yields_documents_as_they_come() -> None:
    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(BODY), 64):
            yield BODY[start : start + 64]

    items = [item async for item in ndjson_items(body(), source="s", max_line_bytes=200)]
    assert items == read([BODY])


@pytest.mark.anyio
async def test_a_streamed_body_can_refuse_unknown_fields() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"id": "a", "text": "x", "titel": "T"}\n'

    (item,) = [item async for item in ndjson_items(body(), source="api", unknown="refuse")]
    assert isinstance(item, ReadFailure)
    assert (item.line, "titel" in item.reason) == (1, True)
