"""The pure half of the stores: payloads, times, specs, compiled filters, pages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.documents import Chunk, EmbeddedChunk
from gateway.domain.lexical import Lexical
from gateway.domain.search import And, DenseQuery, Eq, Filter, Hit, In, Not, Or, Range
from gateway.domain.times import format_time, parse_time
from gateway.errors import CollectionMismatch, InvalidFilter, InvalidRequest
from gateway.vectorstores.conditions import (
    EVERYTHING,
    NOTHING,
    compile_filter,
    json_path,
    wants_acorn,
)
from gateway.vectorstores.filters import MAX_CONDITIONS, matches, require_filter
from gateway.vectorstores.payload import to_chunk, to_payload
from gateway.vectorstores.ranking import page
from gateway.vectorstores.schema import spec_from_json, spec_to_json
from tests.contract.stores import SPEC, made, unit

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(
    text=TEXT,
    title=st.none() | TEXT,
    headings=st.lists(TEXT).map(tuple),
    metadata=st.dictionaries(TEXT, JSON, max_size=5),
)
def test_a_payload_gives_the_chunk_back(
    text: str, title: str | None, headings: tuple[str, ...], metadata: dict[str, Any]
) -> None:
    chunk = Chunk("d", 1, text, 0, len(text), 5, 2, "hash", title, headings, metadata, "s")
    payload = to_payload(EmbeddedChunk(chunk, unit(1), "2026-01-31T12:00:00Z", "s:1"))
    assert to_chunk(payload) == chunk
    assert payload["metadata"] is not metadata


def test_metadata_that_never_ends_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidRequest, match="deeper"):
        to_payload(made(metadata={"x": endless}))
    with pytest.raises(InvalidRequest, match="keys are strings"):
        to_payload(made(metadata={"x": {1: 2}}))


@given(
    st.datetimes(),
    st.integers(-23 * 60, 23 * 60).map(lambda m: timezone(timedelta(minutes=m))),
)
def test_a_time_is_read_back_as_the_same_instant(naive: datetime, zone: timezone) -> None:
    assert parse_time(naive.isoformat()) == naive.replace(tzinfo=UTC)
    if 2 < naive.year < 9998:
        moment = naive.replace(tzinfo=zone)
        assert parse_time(moment.isoformat()) == moment
        assert parse_time(format_time(moment)) == moment


@pytest.mark.parametrize(
    "text",
    ["", "2024", "20240101", "2024-13-01", "2024-01-01T", "2024-01-01T25:00:00Z", "now"],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_time(text) is None


def test_times_are_formatted_so_that_they_sort_as_text() -> None:
    early = format_time(datetime(999, 1, 1, tzinfo=UTC))
    assert early == "0999-01-01T00:00:00.000000Z"
    assert early < format_time(datetime(2024, 1, 1, tzinfo=UTC))


def test_a_spec_comes_back_from_json_and_others_are_not_ours() -> None:
    assert spec_from_json(spec_to_json(SPEC)) == SPEC
    assert spec_from_json(None) is None
    worded = replace(SPEC, lexical=Lexical("russian"))
    stored = spec_to_json(worded)
    assert spec_from_json(stored) == worded
    del stored["lexical"]["folding"]  # as earlier gateways wrote it
    assert spec_from_json(stored) == replace(SPEC, lexical=Lexical("russian", folding=False))
    stored["lexical"]["phonetics"] = "metaphone"
    with pytest.raises(CollectionMismatch, match="'docs' cannot be read: it says phonetics"):
        spec_from_json(stored)
    assert spec_from_json({"kind": "other"}) is None


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (Eq("title", "x"), {"must": [{"key": "title", "match": {"value": "x"}}]}),
        (Eq("metadata.x", 1), {"must": [{"key": "metadata.x", "range": {"gte": 1.0, "lte": 1.0}}]}),
        (Eq("metadata.x", 2**60), {"must": [{"key": "metadata.x", "match": {"value": 2**60}}]}),
        (Eq("metadata.year", 1.0), {"must": [{"key": "metadata.year", "match": {"value": 1}}]}),
        (Eq("metadata.year", 1.5), NOTHING),
        (Eq("metadata.year", "1"), NOTHING),
        (Eq("metadata.open", 1), NOTHING),
        (In("metadata.tag", ()), NOTHING),
        (
            In("metadata.year", (2, 1, 2)),
            {"must": [{"key": "metadata.year", "match": {"any": [1, 2]}}]},
        ),
        (Range("metadata.at", gt=3), NOTHING),
        (Range("metadata.year", lt="2024-01-01"), NOTHING),
        (
            Range("metadata.year", gte=1.5, lt=2.5),
            {"must": [{"key": "metadata.year", "range": {"gte": 2.0, "lt": 3.0}}]},
        ),
        (
            Range("metadata.x", gt=1, gte=2, lt=9, lte=9),
            {"must": [{"key": "metadata.x", "range": {"gte": 2.0, "lt": 9.0}}]},
        ),
        (
            Range("ingested_at", gt="2024-01-01T02:00:00+02:00"),
            {"must": [{"key": "ingested_at", "range": {"gt": "2024-01-01T00:00:00.000000Z"}}]},
        ),
        (And(()), EVERYTHING),
        (Or(()), NOTHING),
        (And((Eq("title", "x"),)), {"must": [{"key": "title", "match": {"value": "x"}}]}),
        (Not(Eq("title", "x")), {"must_not": [{"key": "title", "match": {"value": "x"}}]}),
    ],
    ids=str,
)
def test_a_filter_is_compiled_around_the_engines_traps(
    where: Filter, expected: dict[str, Any]
) -> None:
    assert compile_filter(where, SPEC) == expected


def test_keys_that_are_not_words_are_quoted() -> None:
    assert json_path("metadata.a-b_1.my key.clé") == 'metadata.a-b_1."my key"."clé"'


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        (None, False),
        (Eq("title", "x"), False),
        (Range("chunk_index", gt=1), False),
        (In("title", ("x",)), False),
        (In("title", ("x", "y")), True),
        (And((Eq("title", "x"), Eq("source", "y"))), True),
        (Not(Eq("title", "x")), True),
    ],
    ids=str,
)
def test_filters_that_plain_hnsw_loses_ask_for_acorn(where: Filter | None, wanted: bool) -> None:
    assert wants_acorn(where) is wanted


def test_a_filter_too_large_or_too_deep_is_refused() -> None:
    wide = Or(tuple(Eq("title", str(number)) for number in range(MAX_CONDITIONS + 1)))
    with pytest.raises(InvalidFilter, match="conditions"):
        require_filter(wide)
    deep: Filter = Eq("title", "x")
    for _ in range(50):
        deep = Not(deep)
    with pytest.raises(InvalidFilter, match="deeper"):
        require_filter(deep)
    assert require_filter(In("title", tuple(map(str, range(100_000)))))


@given(st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_equals_itself_whatever_its_type(value: float) -> None:
    payload = {"metadata": {"x": value}}
    assert matches(Eq("metadata.x", value), payload)
    assert matches(Eq("metadata.x", float(value)), payload)
    assert not matches(Eq("metadata.x", str(value)), payload)
    assert not matches(Eq("metadata.x", bool(value)), payload)


@pytest.mark.anyio
@pytest.mark.parametrize("limit", [1, 3, 60])
async def test_a_page_fetches_more_until_it_has_seen_the_whole_tie(limit: int) -> None:
    chunk = made().chunk
    hits = [Hit(UUID(int=number), 0.5 + (number % 2) * 1e-8, chunk) for number in range(500, 0, -1)]
    asked: list[int] = []

    async def fetch(count: int) -> list[Hit]:
        asked.append(count)
        return hits[:count]

    found = await page(DenseQuery(np.ones(1, np.float32), limit, "s:1"), fetch)
    assert [hit.id.int for hit in found] == list(range(1, limit + 1))
    assert asked[-1] >= 500
