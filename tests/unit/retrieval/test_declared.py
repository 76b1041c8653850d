"""Filters whose fields are not declared, or whose values are of another type than declared."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.collections import CHUNK_FIELDS, CollectionSpec, FieldType
from gateway.domain.search import And, Eq, Exists, Filter, In, Not, Or, Range
from gateway.errors import InvalidFilter
from gateway.retrieval.declared import by_moment, require_declared_fields
from gateway.vectorstores.filters import matches, require_filter
from gateway.vectorstores.payload import to_payload
from gateway.vectorstores.schema import require_declared
from tests.contract.stores import FIELDS, LOOSE, TIMES, WANTED, made

SPEC = CollectionSpec("docs", "tiny", "space-1", 16, FIELDS)

REFUSED: list[tuple[Filter, str, str]] = [
    (Eq("metadata.year", "2024"), "filter.eq.metadata.year", 'the string "2024"'),
    (Eq("metadata.year", True), "filter.eq.metadata.year", "the boolean true"),
    (Eq("metadata.year", 2024.5), "filter.eq.metadata.year", "the number 2024.5"),
    (In("metadata.deep.year", (1, "b")), "filter.in.metadata.deep.year[1]", "an integer"),
    (Range("metadata.year", gte=1, lt="2026-01-01"), "filter.range.metadata.year.lt", "integer"),
    (Eq("metadata.weight", "2.5"), "filter.eq.metadata.weight", "give a number, without quotes"),
    (Eq("metadata.weight", False), "filter.eq.metadata.weight", "type float"),
    (Range("metadata.weight", gt="2024-01-01"), "filter.range.metadata.weight.gt", "a number"),
    (Eq("metadata.tag", 1), "filter.eq.metadata.tag", "give a string"),
    (In("metadata.tag", (True,)), "filter.in.metadata.tag[0]", "type keyword"),
    (Range("metadata.tag", lte=3), "filter.range.metadata.tag.lte", "RFC 3339"),
    (Eq("metadata.open", "true"), "filter.eq.metadata.open", "give true or false"),
    (Eq("metadata.open", 1), "filter.eq.metadata.open", "the number 1"),
    (Range("metadata.open", gte=0), "filter.range.metadata.open.gte", "to eq or in"),
    (Eq("metadata.at", "soon"), "filter.eq.metadata.at", "2026-01-31T00:00:00Z"),
    (Range("metadata.at", gt=2024), "filter.range.metadata.at.gt", "type datetime"),
    (Eq("chunk_index", "0"), "filter.eq.chunk_index", "type integer"),
    (Range("ingested_at", gt=1_700_000_000), "filter.range.ingested_at.gt", "RFC 3339"),
    (Eq("document_id", 7), "filter.eq.document_id", "give a string"),
    (Eq("title", True), "filter.eq.title", "give a string"),
    (
        And((Exists("title"), Or((Not(Eq("metadata.year", "x")), Exists("source"))))),
        "filter.and[1].or[0].not.eq.metadata.year",
        'the string "x"',
    ),
    (Not(Exists("metadata.colour")), "filter.not.exists", "declared: metadata.year, metadata.tag"),
]


@pytest.mark.parametrize(("where", "field", "said"), REFUSED, ids=str)
def test_what_can_match_nothing_is_refused_with_place_and_remedy(
    where: Filter, field: str, said: str
) -> None:
    with pytest.raises(InvalidFilter) as caught:
        require_declared_fields(SPEC, where)
    assert caught.value.field == field
    assert said in str(caught.value)


def test_a_long_value_is_not_quoted_whole() -> None:
    with pytest.raises(InvalidFilter) as caught:
        require_declared_fields(SPEC, Eq("metadata.year", "x" * 10_000))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "where",
    [
        None,
        Eq("metadata.year", 2024.0),
        In("metadata.weight", (1, 2.5)),
        Range("metadata.year", gt=2023.5, lte=2025),
        Range("metadata.tag", gte="2024-01-01"),
        Eq("metadata.at", "2024-01-01"),
        Range("ingested_at", gt="2020-01-01T00:00:00Z"),
        Eq("chunk_index", 0),
    ],
    ids=str,
)
def test_values_of_the_type_pass(where: Filter | None) -> None:
    require_declared_fields(SPEC, where)


SAME = ["2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01 00:00", "2024-01-01T03:00:00+03:00"]


@pytest.mark.parametrize("stored", SAME)
@pytest.mark.parametrize("asked", SAME)
def test_a_moment_is_found_whatever_its_text(stored: str, asked: str) -> None:
    other = "2024-01-01T00:00:01Z"
    for where, found in (
        (Eq("metadata.at", asked), True),
        (Eq("metadata.at", other), False),
        (In("metadata.at", (other, asked)), True),
        (In("metadata.at", (other,)), False),
        (In("metadata.at", ()), False),
        (Not(Eq("metadata.at", asked)), False),
        (And((Eq("metadata.at", asked), Or((Eq("metadata.at", other),)))), False),
    ):
        resolved = by_moment(SPEC, where)
        assert resolved is not None
        assert matches(resolved, {"metadata": {"at": stored}}) is found, where


@pytest.mark.parametrize(
    "where",
    [
        None,
        Eq("metadata.tag", "2024-01-01"),
        Range("metadata.at", gt="2024-01-01"),
        Exists("title"),
    ],
    ids=str,
)
def test_other_conditions_stay_as_they_are(where: Filter | None) -> None:
    assert by_moment(SPEC, where) == where


def test_the_fields_of_a_chunk_are_those_of_the_stores() -> None:
    stored = to_payload(made(title="A title", source="here"))
    for field, kind in CHUNK_FIELDS.items():
        assert isinstance(stored[field], int if kind is FieldType.INTEGER else str), field
        assert require_filter(Exists(field)) == Exists(field)


def payload(key: str, value: Any) -> Mapping[str, Any] | None:
    """What a chunk with this value is stored as; None: the stores refuse it."""
    if key == "ingested_at":  # written by the gateway, never by a caller
        return {key: value} if value in TIMES else None
    if key in CHUNK_FIELDS:
        wanted = int if CHUNK_FIELDS[key] is FieldType.INTEGER else str
        return {key: value} if type(value) is wanted else None
    metadata: dict[str, Any] = {"deep": {"year": value}} if key == "deep.year" else {key: value}
    try:
        require_declared(SPEC, metadata)
    except Exception:  # noqa: BLE001  whatever the reason is, it is never stored
        return None
    return {"metadata": metadata}


def test_nothing_is_refused_that_matches_a_stored_value() -> None:
    """The stores' own rules say what may be stored and what matches: held against all pairs."""
    fields = [*CHUNK_FIELDS, *(f"metadata.{key}" for key in FIELDS)]
    passed = 0
    for field in fields:
        stored = [
            found
            for value in (*LOOSE, *WANTED, *TIMES)
            if (found := payload(field.removeprefix("metadata."), value)) is not None
        ]
        for value in (*WANTED, *TIMES, 0.5):
            conditions: list[Filter] = [Eq(field, value), In(field, (value,))]
            if not isinstance(value, bool):
                conditions += [Range(field, gte=value), Range(field, lt=value)]
            for where in filter(usable, conditions):
                if any(matches(where, each) for each in stored):
                    require_declared_fields(SPEC, where)
                    passed += 1
    assert passed > 200


def usable(where: Filter) -> bool:
    """Say whether the stores take a filter at all: no bound is a text that is no time."""
    try:
        require_filter(where)
    except InvalidFilter:
        return False
    return True


def test_a_collection_without_declared_fields_says_so() -> None:
    bare = replace(SPEC, filter_fields={})
    with pytest.raises(InvalidFilter, match="declared: none"):
        require_declared_fields(bare, Eq("metadata.year", 1))
