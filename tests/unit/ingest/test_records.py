"""One record becomes one document, or one error that names the field."""

from datetime import UTC, date, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidDocument
from gateway.ingest.records import half_of_pair, parse_record, plain_metadata


def test_a_beir_record_keeps_its_other_keys_as_metadata() -> None:
    document = parse_record(
        {"_id": "7", "title": "T", "text": " kept \n", "url": "u", "metadata": {"year": 2020}}
    )
    assert (document.id, document.title, document.text) == ("7", "T", " kept \n")
    assert dict(document.metadata) == {"url": "u", "year": 2020}
    assert document.format == "text"


def test_id_serves_when_there_is_no_underscore_id() -> None:
    assert parse_record({"id": "a", "text": "x"}).id == "a"
    both = parse_record({"_id": "b", "id": "a", "text": "x"})
    assert (both.id, dict(both.metadata)) == ("b", {"id": "a"})


def test_a_whole_number_is_an_id() -> None:
    assert parse_record({"_id": 31715818, "text": "x"}).id == "31715818"


@pytest.mark.parametrize("title", [None, "", "  "])
def test_a_blank_title_is_none(title: str | None) -> None:
    assert parse_record({"id": "a", "text": "x", "title": title}).title is None


def test_an_empty_text_is_a_document() -> None:
    assert parse_record({"id": "a", "text": ""}).text == ""


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ([], None),
        ("text", None),
        ({"text": "x"}, "id"),
        ({"id": " ", "text": "x"}, "id"),
        ({"_id": True, "text": "x"}, "_id"),
        ({"_id": 1.5, "text": "x"}, "_id"),
        ({"id": "a" * 2000, "text": "x"}, "id"),
        ({"id": "a\ud800", "text": "x"}, "id"),
        ({"id": "a"}, "text"),
        ({"id": "a", "text": None}, "text"),
        ({"id": "a", "text": ["x"]}, "text"),
        ({"id": "a", "text": "x\x00"}, "text"),
        ({"id": "a", "text": "\udfff"}, "text"),
        ({"id": "a", "text": "x", "title": "\x00"}, "title"),
        ({"id": "a", "text": "x", "title": "T\ud800"}, "title"),
        ({"id": "a", "text": "x", "title": 3}, "title"),
        ({"id": "a", "text": "x", "format": "pdf"}, "format"),
        ({"id": "a", "text": "x", "metadata": "m"}, "metadata"),
        ({"id": "a", "text": "x", "metadata": {"n": float("nan")}}, "metadata.n"),
        ({"id": "a", "text": "x", "metadata": {"n": 2**63}}, "metadata.n"),
        ({"id": "a", "text": "x", "n": 1, "metadata": {"n": 2}}, "metadata.n"),
    ],
)
def test_a_bad_record_names_its_field_and_line(record: object, field: str | None) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_record(record, 12)
    assert (caught.value.field, caught.value.index) == (field, 12)


def test_unknown_fields_are_refused_on_demand() -> None:
    with pytest.raises(InvalidDocument, match="unknown field 'titel'"):
        parse_record({"id": "a", "text": "x", "titel": "T"}, unknown="refuse")


@pytest.mark.parametrize("key", ["id", "_id"])
def test_where_unknown_fields_are_refused_ids_are_strings(key: str) -> None:
    with pytest.raises(InvalidDocument, match=f"'{key}' must be a string, not a number"):
        parse_record({key: 5, "text": "x"}, unknown="refuse")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (r'{"text":"\ud800"}', 9),
        (r'{"text":"a\udc00"}', 10),
        (r'{"text":"\ud83d\u0041"}', 9),
        (r'{"text":"\ud83d\ud83d\ude00 and more"}', 9),
        (r'{"text":"\ud83d\ude00\uD83D and more"}', 21),
        (r'{"text":"\\\ud800"}', 11),
        (r'{"\ud800":1}', 2),
    ],
)
def test_half_of_a_surrogate_pair_is_named_by_its_place(data: str, place: int) -> None:
    told = half_of_pair(data.encode(), refusal(data))
    assert told is not None
    assert f"at byte {place} is half of a surrogate pair" in told


@given(cut=st.integers(1, 35))
def test_json_that_is_cut_off_is_not_taken_for_half_a_pair(cut: int) -> None:
    data = r'{"a":"\ud83d\ude00 \\ud800","b":"x"}'[:cut]
    assert half_of_pair(data.encode(), refusal(data)) is None


def test_json_broken_before_half_a_pair_keeps_its_own_reason() -> None:
    data = r'{broken "\ud800"}'
    assert half_of_pair(data.encode(), refusal(data)) is None


def refusal(data: str) -> str:
    """What the decoder says of data that is no JSON."""
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(data.encode())
    return str(caught.value)


def test_metadata_becomes_plain_json() -> None:
    plain = plain_metadata(
        {
            "day": date(2024, 5, 6),
            "at": datetime(2024, 5, 6, 7, tzinfo=UTC),
            "tags": ("a", "b"),
            "deep": {1: {date(2024, 1, 1): None}},
        }
    )
    assert plain == {
        "day": "2024-05-06",
        "at": "2024-05-06T07:00:00+00:00",
        "tags": ["a", "b"],
        "deep": {"1": {"2024-01-01": None}},
    }


def test_metadata_that_explodes_or_nests_without_end_is_refused() -> None:
    bomb: list[object] = ["x"] * 10
    for _ in range(10):
        bomb = [bomb] * 10
    ring: list[object] = []
    ring.append(ring)
    for value in (bomb, ring):
        with pytest.raises(InvalidDocument, match="over the bounds"):
            plain_metadata({"v": value})


def test_metadata_takes_json_values_only() -> None:
    with pytest.raises(InvalidDocument, match=r"metadata\.v is a bytes"):
        plain_metadata({"v": b"x"})
