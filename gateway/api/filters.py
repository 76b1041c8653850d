"""Filters as JSON: an object with exactly one operator (see `schemas.search.FILTER_SCHEMA`).

{"eq": {"metadata.language": "en"}}          {"in": {"metadata.year": [2023, 2024]}}
{"range": {"metadata.year": {"gte": 2020}}}  {"exists": "metadata.author"}
{"and": [F, ...]}  {"or": [F, ...]}          {"not": F}
"""

from collections.abc import Callable
from typing import Any, Final, NoReturn, cast

from gateway.domain.search import And, Eq, Exists, Filter, FilterValue, In, Not, Or, Range
from gateway.errors import InvalidFilter
from gateway.vectorstores.filters import require_filter

DEEPEST: Final = 32
BOUNDS: Final = ("gt", "gte", "lt", "lte")


def parse_filter(value: object, path: str = "filter", depth: int = 0) -> Filter:
    """Read a filter.

    Raises:
        InvalidFilter: `field` is the exact place, such as `filter.and[1].range`.
    """
    if depth > DEEPEST:
        _refuse(f"nests deeper than {DEEPEST} levels; flatten it", path)
    operator, operand = _single(value, path, f"one of {', '.join(OPERATORS)}")
    try:
        parse = OPERATORS[operator]
    except KeyError:
        _refuse(f"has no operator {operator!r}; take one of {', '.join(OPERATORS)}", path)
    return parse(operand, f"{path}.{operator}", depth)


def _eq(operand: object, path: str, _depth: int) -> Filter:
    field, value = _single(operand, path, "a field and its value")
    return _checked(Eq(field, _scalar(value, f"{path}.{field}")), path)


def _in(operand: object, path: str, _depth: int) -> Filter:
    field, values = _single(operand, path, "a field and a list of values")
    if not isinstance(values, list) or not values:
        _refuse("wants a list of at least one value", f"{path}.{field}")
    items = cast("list[object]", values)
    scalars = [_scalar(item, f"{path}.{field}[{i}]") for i, item in enumerate(items)]
    return _checked(In(field, tuple(scalars)), path)


def _range(operand: object, path: str, _depth: int) -> Filter:
    field, bounds = _single(operand, path, "a field and its bounds")
    if not isinstance(bounds, dict) or not bounds:
        _refuse(f"wants an object with some of {', '.join(BOUNDS)}", f"{path}.{field}")
    given = cast("dict[str, Any]", bounds)
    for name, bound in given.items():
        place = f"{path}.{field}.{name}"
        if name not in BOUNDS:
            _refuse(f"has no bound {name!r}; take {', '.join(BOUNDS)}", place)
        if isinstance(bound, bool) or not isinstance(bound, int | float | str):
            _refuse("wants a number, or a time as RFC 3339 text", place)
    return _checked(Range(field, **given), path)


def _exists(operand: object, path: str, _depth: int) -> Filter:
    if not isinstance(operand, str):
        _refuse('wants the name of a field: {"exists": "metadata.author"}', path)
    return _checked(Exists(operand), path)


def _and(operand: object, path: str, depth: int) -> Filter:
    return And(_many(operand, path, depth))


def _or(operand: object, path: str, depth: int) -> Filter:
    return Or(_many(operand, path, depth))


def _not(operand: object, path: str, depth: int) -> Filter:
    return Not(parse_filter(operand, path, depth + 1))


OPERATORS: Final[dict[str, Callable[[object, str, int], Filter]]] = {
    "eq": _eq,
    "in": _in,
    "range": _range,
    "exists": _exists,
    "and": _and,
    "or": _or,
    "not": _not,
}


def _many(operand: object, path: str, depth: int) -> tuple[Filter, ...]:
    if not isinstance(operand, list) or not operand:
        _refuse("wants a list of at least one filter", path)
    parts = cast("list[object]", operand)
    return tuple(parse_filter(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(parts))


def _single(value: object, path: str, wanted: str) -> tuple[str, object]:
    if not isinstance(value, dict) or len(cast("dict[str, object]", value)) != 1:
        _refuse(f"wants an object with exactly one key: {wanted}", path)
    return next(iter(cast("dict[str, object]", value).items()))


def _scalar(value: object, path: str) -> FilterValue:
    if not isinstance(value, str | int | float):
        _refuse("wants a string, a number, true or false", path)
    return value


def _checked(leaf: Filter, path: str) -> Filter:
    """Let the stores' own rules judge a condition, and name its place."""
    try:
        return require_filter(leaf)
    except InvalidFilter as exc:
        _refuse(f"is not usable: {exc}", path)


def _refuse(what: str, path: str) -> NoReturn:
    raise InvalidFilter(f"{path} {what}", field=path)
