"""Filters compiled to Qdrant's own condition language, as JSON: one meaning for server and edge.

The engines differ from `filters.matches` in a few places, and each is bridged here: exact match is
typed (1 is not 1.0), an integer index cuts the decimals of a bound, an empty list of values or
clauses means different things in different places.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

from gateway.domain.collections import CollectionSpec, FieldType
from gateway.domain.search import And, Eq, Exists, Filter, FilterValue, In, Not, Or, Range
from gateway.domain.times import format_time, parse_time
from gateway.vectorstores.filters import EXACT_INT, require_filter

Condition: TypeAlias = dict[str, Any]
"""A condition or filter in the JSON of Qdrant's REST API."""

NOTHING: Final[Condition] = {"must": [{"has_id": []}]}
EVERYTHING: Final[Condition] = {"must_not": [{"has_id": []}]}

_SIMPLE: Final = re.compile(r"[A-Za-z0-9_-]+")
_TEXTUAL: Final = (FieldType.KEYWORD, FieldType.DATETIME)
_INT64: Final = 2**63


def compile_filter(where: Filter, spec: CollectionSpec) -> Condition:
    """Return the filter in Qdrant's JSON; it always has a clause, so it can be used to delete.

    Raises:
        InvalidFilter: see `filters.require_filter`.
    """
    kinds = {**spec.metadata_fields, "chunk_index": FieldType.INTEGER}
    return _clause(_compile(require_filter(where), kinds))


def optional_filter(where: Filter | None, spec: CollectionSpec) -> Condition | None:
    return None if where is None else compile_filter(where, spec)


def wants_acorn(where: Filter | None) -> bool:
    """Say whether plain HNSW may lose what matches.

    Its graph has extra edges for one value of one indexed field; with any-of and joined conditions
    recall@10 fell to 0.31 (50,000 vectors, 10 of 100 tenants).
    """
    if where is None or isinstance(where, Eq | Exists | Range):
        return False
    if isinstance(where, In):
        return len(where.values) > 1
    return True


def json_path(field: str) -> str:
    """Return a field path with the keys quoted that are not plain words."""
    return ".".join(
        key if _SIMPLE.fullmatch(key) else json.dumps(key, ensure_ascii=False)
        for key in field.split(".")
    )


def _clause(condition: Condition) -> Condition:
    """Make a lone condition a filter."""
    return condition if {"must", "should", "must_not"} & condition.keys() else {"must": [condition]}


def _compile(where: Filter, kinds: Mapping[str, FieldType]) -> Condition:
    if isinstance(where, And):
        return _joined("must", (_compile(part, kinds) for part in where.filters), EVERYTHING)
    if isinstance(where, Or):
        return _joined("should", (_compile(part, kinds) for part in where.filters), NOTHING)
    if isinstance(where, Not):
        return {"must_not": [_compile(where.filter, kinds)]}
    path, kind = json_path(where.field), kinds.get(where.field)
    if isinstance(where, Exists):
        return {"must_not": [{"is_empty": {"key": path}}]}
    if isinstance(where, Range):
        return _range(path, where, kind)
    values = (where.value,) if isinstance(where, Eq) else where.values
    return _any_of(path, values, kind)


def _joined(verb: str, parts: Iterable[Condition], none: Condition) -> Condition:
    found = list(parts)
    if not found:
        return none
    return found[0] if len(found) == 1 else {verb: found}


def _any_of(path: str, values: Iterable[FilterValue], kind: FieldType | None) -> Condition:
    unique = {(type(value), value): value for value in values if _can_hold(kind, value)}.values()
    found = [_match(path, value) for value in unique if isinstance(value, bool)]
    found += _matches(path, [value for value in unique if isinstance(value, str)])
    numbers = [value for value in unique if not isinstance(value, str | bool)]
    if kind is FieldType.INTEGER:
        whole = {int(value) for value in numbers if value == math.floor(value)}
        found += _matches(path, sorted(v for v in whole if -_INT64 <= v < _INT64))
    else:
        found += [_number(path, value) for value in numbers]
    return _joined("should", found, NOTHING)


def _can_hold(kind: FieldType | None, value: FilterValue) -> bool:
    """Say whether a field of this declared kind may hold the value; its index must not be asked.

    An index takes what it is given for its own type: a time on an integer index is compared in
    microseconds.
    """
    return kind is None or (
        isinstance(value, bool) == (kind is FieldType.BOOL)
        and (isinstance(value, str) == (kind in _TEXTUAL))
    )


def _match(path: str, value: FilterValue) -> Condition:
    return {"key": path, "match": {"value": value}}


def _matches(path: str, values: list[str] | list[int]) -> list[Condition]:
    if not values:
        return []
    if len(values) == 1:
        return [_match(path, values[0])]
    return [{"key": path, "match": {"any": values}}]


def _number(path: str, value: float) -> Condition:
    if isinstance(value, int) and abs(value) > EXACT_INT:
        return _match(path, value)
    return {"key": path, "range": {"gte": float(value), "lte": float(value)}}


def _range(path: str, where: Range, kind: FieldType | None) -> Condition:
    given = where.bounds
    if not all(_can_hold(kind, bound) for bound in given.values()):
        return NOTHING
    exact = {name: _bound(name, bound, kind) for name, bound in given.items()}
    return {"key": path, "range": _tightest(exact)}


def _tightest(given: dict[str, Any]) -> dict[str, Any]:
    """Keep one bound a side: given both, an index reads the strict one only."""
    if "gt" in given and "gte" in given:
        del given["gte" if given["gt"] >= given["gte"] else "gt"]
    if "lt" in given and "lte" in given:
        del given["lte" if given["lt"] <= given["lte"] else "lt"]
    return given


def _bound(name: str, bound: float | str, kind: FieldType | None) -> float | str:
    if isinstance(bound, str):
        return format_time(cast("Any", parse_time(bound)))
    if kind is FieldType.INTEGER and abs(bound) < EXACT_INT:
        return float(math.floor(bound) if name in ("gt", "lte") else math.ceil(bound))
    return float(bound)
