"""What a filter means: one check, and one evaluation that the engines are held to.

Equality knows types: `True` is not 1, "1" is not 1, but 1 equals 1.0. A list matches when one of
its elements does. Numbers compare as float64. A missing field matches nothing but `Not`.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from gateway.domain.collections import CHUNK_FIELDS
from gateway.domain.search import And, Eq, Exists, Filter, FilterValue, In, Not, Or, Range
from gateway.domain.times import parse_time
from gateway.errors import InvalidFilter

EXACT_INT: Final = 2**53
"""Integers up to here are exact as float64."""
MAX_CONDITIONS: Final = 4_096
MAX_DEPTH: Final = 32

_TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_KEY: Final = re.compile(r'[^."\[\]\\\x00-\x1f]+')


def require_filter(where: Filter) -> Filter:
    """Return a filter that every store can evaluate.

    Raises:
        InvalidFilter: an unknown field, a bound without sense, or a filter too large.
    """
    budget = _check(where, 0)
    if budget > MAX_CONDITIONS:
        raise InvalidFilter(
            f"the filter has {budget} conditions, at most {MAX_CONDITIONS}; use 'in' for lists of "
            "strings, or split the request"
        )
    return where


def matches(where: Filter, payload: Mapping[str, Any]) -> bool:
    """Evaluate a checked filter on one payload."""
    if isinstance(where, And):
        return all(matches(part, payload) for part in where.filters)
    if isinstance(where, Or):
        return any(matches(part, payload) for part in where.filters)
    if isinstance(where, Not):
        return not matches(where.filter, payload)
    found = _found(payload, where.field)
    if isinstance(where, Exists):
        return found is not None and found != []
    values = cast("list[Any]", found) if isinstance(found, list) else [found]
    if isinstance(where, Range):
        return any(_within(value, where) for value in values)
    wanted = (where.value,) if isinstance(where, Eq) else where.values
    return any(equal(value, want) for value in values for want in wanted)


def equal(value: object, want: FilterValue) -> bool:
    """Compare a stored value with a wanted one, by type."""
    if isinstance(want, bool) or isinstance(value, bool):
        return value is want
    if isinstance(want, str) or isinstance(value, str):
        return value == want
    if not isinstance(value, int | float):
        return False
    if isinstance(want, int) and abs(want) > EXACT_INT:
        return isinstance(value, int) and value == want
    return float(value) == float(want)


def _found(payload: Mapping[str, Any], path: str) -> object:
    node: object = payload
    for key in path.split("."):
        if not isinstance(node, Mapping):
            return None
        node = cast("Mapping[str, object]", node).get(key)
    return node


def _within(value: object, where: Range) -> bool:
    given = where.bounds
    if any(isinstance(bound, str) for bound in given.values()):
        moment = parse_time(value) if isinstance(value, str) else None
        if moment is None:
            return False
        times = {name: parse_time(cast("str", bound)) for name, bound in given.items()}
        return _holds(moment, times)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return _holds(float(value), given)


def _holds(value: Any, given: Mapping[str, Any]) -> bool:
    return all(_TESTS[name](value, bound) for name, bound in given.items())


def _check(where: Filter, depth: int) -> int:
    """Return the number of conditions in `where`, or refuse it."""
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"the filter nests deeper than {MAX_DEPTH} levels; flatten it")
    if isinstance(where, And | Or):
        return 1 + sum(_check(part, depth + 1) for part in where.filters)
    if isinstance(where, Not):
        return 1 + _check(where.filter, depth + 1)
    _check_field(where.field)
    if isinstance(where, Eq):
        _check_value(where.field, where.value)
    elif isinstance(where, In):
        for value in where.values:
            _check_value(where.field, value)
        return 1 + sum(not isinstance(value, str) for value in where.values)
    elif isinstance(where, Range):
        _check_range(where)
    return 1


def _check_field(path: str) -> None:
    head, *rest = path.split(".")
    good = head in CHUNK_FIELDS and not rest
    good = good or (head == "metadata" and bool(rest) and all(map(_KEY.fullmatch, rest)))
    if not good:
        raise InvalidFilter(
            f"no field {path!r} to filter by; take one of {', '.join(CHUNK_FIELDS)} or "
            "'metadata.<key>' (nested keys joined by dots)",
            field=path,
        )


def _check_value(path: str, value: FilterValue) -> None:
    if isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(path, value)
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidFilter(f"{value} for {path!r} is over 64 bits", field=path)
    elif not math.isfinite(value):
        raise InvalidFilter(f"{value} for {path!r} is not a number to compare with", field=path)


def _check_text(path: str, value: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InvalidFilter(f"the value for {path!r} holds a lone surrogate", field=path) from exc


def _check_range(where: Range) -> None:
    given = where.bounds
    if not given:
        raise InvalidFilter(
            f"the range on {where.field!r} has no bound; give gt, gte, lt or lte", field=where.field
        )
    texts = [bound for bound in given.values() if isinstance(bound, str)]
    if texts and len(texts) != len(given):
        raise InvalidFilter(
            f"the range on {where.field!r} mixes numbers and times; use one kind", field=where.field
        )
    for bound in given.values():
        _check_bound(where.field, bound)


def _check_bound(path: str, bound: float | str) -> None:
    if isinstance(bound, str):
        if parse_time(bound) is None:
            raise InvalidFilter(
                f"{bound!r} for {path!r} is no RFC 3339 time; write 2026-01-31T00:00:00Z",
                field=path,
            )
    elif isinstance(bound, bool) or not math.isfinite(bound) or _inexact(bound):
        raise InvalidFilter(
            f"{bound!r} for {path!r} is no number to compare with; ranges take finite numbers, "
            "integers up to 2**53",
            field=path,
        )


def _inexact(bound: float) -> bool:
    return isinstance(bound, int) and abs(bound) > EXACT_INT
