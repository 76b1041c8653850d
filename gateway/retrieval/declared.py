"""Filters name fields that a collection indexes, and give them values of their type.

Any other field would be looked for chunk by chunk: slow where a collection is large, and an index over
vectors cannot honour it well. A value of another type would match nothing, without a word.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from gateway.domain.collections import CHUNK_FIELDS, METADATA, CollectionSpec, FieldType
from gateway.domain.search import And, Eq, Exists, Filter, FilterValue, In, Not, Or, Range
from gateway.domain.times import parse_time
from gateway.errors import InvalidFilter

_SHOWN: Final = 60
_GIVE: Final[Mapping[FieldType, str]] = {
    FieldType.KEYWORD: "give a string",
    FieldType.INTEGER: "give an integer, without quotes",
    FieldType.FLOAT: "give a number, without quotes",
    FieldType.BOOL: "give true or false to eq or in, without quotes",
    FieldType.DATETIME: "give a time as RFC 3339 text, such as 2026-01-31T00:00:00Z",
}
_OF_TIMES: Final = "give the bounds as RFC 3339 texts, or use eq or in"

_Leaf: TypeAlias = Eq | In | Range | Exists


def require_declared_fields(spec: CollectionSpec, where: Filter | None) -> None:
    """Let a filter pass that names declared fields or those of the chunk, with values of their type.

    Raises:
        InvalidFilter: names the field, what is declared, and the remedy; `field` is the exact place.
    """
    if where is None:
        return
    kinds = _kinds(spec)
    for place, leaf in _leaves(where, "filter"):
        kind = kinds.get(leaf.field)
        if kind is not None:
            _require_type(spec, kind, leaf, f"{place}.{leaf.field}")
        elif leaf.field.startswith(METADATA):
            known = ", ".join(spec.metadata_fields) or "none"
            raise InvalidFilter(
                f"collection {spec.name!r} does not index {leaf.field!r} (declared: {known}); declare "
                "the field when the collection is made (filter_fields, or --field NAME:TYPE) and "
                "ingest into it",
                field=place,
            )


def by_moment(spec: CollectionSpec, where: Filter | None) -> Filter | None:
    """Compare times as moments: `eq` and `in` on a datetime field become ranges of a moment each.

    A moment has many texts, with `Z` or an offset, with seconds or without; equality would know one.
    """
    return None if where is None else _by_moment(where, _kinds(spec))


def _by_moment(where: Filter, kinds: Mapping[str, FieldType]) -> Filter:
    if isinstance(where, And | Or):
        return type(where)(tuple(_by_moment(part, kinds) for part in where.filters))
    if isinstance(where, Not):
        return Not(_by_moment(where.filter, kinds))
    if not isinstance(where, Eq | In) or kinds.get(where.field) is not FieldType.DATETIME:
        return where
    times = [str(value) for _, value in _values(where)]
    moments = tuple(Range(where.field, gte=time, lte=time) for time in times)
    return moments[0] if len(moments) == 1 else Or(moments)


def _kinds(spec: CollectionSpec) -> Mapping[str, FieldType]:
    return {**CHUNK_FIELDS, **spec.metadata_fields}


def _require_type(spec: CollectionSpec, kind: FieldType, leaf: _Leaf, place: str) -> None:
    """Refuse a condition with a value that no chunk can hold in a field of this type."""
    fits = (_BOUNDS if isinstance(leaf, Range) else _VALUES)[kind]
    for suffix, value in _values(leaf):
        if fits(value):
            continue
        remedy = _GIVE[kind]
        if isinstance(leaf, Range) and kind is FieldType.KEYWORD:
            remedy = _OF_TIMES
        raise InvalidFilter(
            f"field {leaf.field!r} of collection {spec.name!r} is of type {kind.value}, and "
            f"{_told(value)} would match nothing; {remedy}",
            field=place + suffix,
        )


def _leaves(where: Filter, path: str) -> Iterator[tuple[str, _Leaf]]:
    """All conditions of a filter, each with its place, such as `filter.and[1].range`."""
    if isinstance(where, And | Or):
        for i, part in enumerate(where.filters):
            yield from _leaves(part, f"{path}.{type(where).__name__.lower()}[{i}]")
    elif isinstance(where, Not):
        yield from _leaves(where.filter, f"{path}.not")
    else:
        yield f"{path}.{type(where).__name__.lower()}", where


def _values(leaf: _Leaf) -> Iterator[tuple[str, FilterValue]]:
    """What a condition compares with, each with the end of its place."""
    if isinstance(leaf, Eq):
        yield "", leaf.value
    elif isinstance(leaf, In):
        yield from ((f"[{i}]", value) for i, value in enumerate(leaf.values))
    elif isinstance(leaf, Range):
        yield from ((f".{name}", bound) for name, bound in leaf.bounds.items())


def _told(value: FilterValue) -> str:
    """Name a value and its type, as JSON has them."""
    kind = "number"
    if isinstance(value, bool):
        kind = "boolean"
    elif isinstance(value, str):
        kind = "string"
    text = json.dumps(value, ensure_ascii=False)
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return f"the {kind} {shown}"


def _is_text(value: FilterValue) -> bool:
    return isinstance(value, str)


def _is_number(value: FilterValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: FilterValue) -> bool:
    """2020.0 too: numbers are compared as numbers."""
    return _is_number(value) and (isinstance(value, int) or float(value).is_integer())


def _is_bool(value: FilterValue) -> bool:
    return isinstance(value, bool)


def _is_time(value: FilterValue) -> bool:
    return isinstance(value, str) and parse_time(value) is not None


def _is_never(_value: FilterValue) -> bool:
    return False


_VALUES: Final[Mapping[FieldType, Callable[[FilterValue], bool]]] = {
    FieldType.KEYWORD: _is_text,
    FieldType.INTEGER: _is_whole,
    FieldType.FLOAT: _is_number,
    FieldType.BOOL: _is_bool,
    FieldType.DATETIME: _is_time,
}
"""What `eq` and `in` may compare a field with."""

_BOUNDS: Final[Mapping[FieldType, Callable[[FilterValue], bool]]] = {
    FieldType.KEYWORD: _is_text,
    FieldType.INTEGER: _is_number,
    FieldType.FLOAT: _is_number,
    FieldType.BOOL: _is_never,
    FieldType.DATETIME: _is_time,
}
"""What may bound the range of a field; strings that are times lie within bounds that are times."""
