"""Conditions from their JSON to the classes of `qdrant_edge`; runs in the worker process only."""

from typing import Any, cast

import numpy as np
import qdrant_edge as qe

from gateway.vectorstores.conditions import Condition


def to_edge_filter(clause: Condition) -> qe.Filter:
    """Return the engine's filter for a JSON filter made by `conditions.compile_filter`."""
    return qe.Filter(
        must=_conditions(clause.get("must")),
        should=_conditions(clause.get("should")),
        must_not=_conditions(clause.get("must_not")),
    )


def _conditions(parts: list[Condition] | None) -> list[Any] | None:
    return None if parts is None else [_condition(part) for part in parts]


def _condition(part: Condition) -> Any:
    if "has_id" in part:
        return qe.HasIdCondition(set(part["has_id"]))
    if "is_empty" in part:
        return qe.IsEmptyCondition(part["is_empty"]["key"])
    if "match" in part:
        return qe.FieldCondition(part["key"], match=_match(part["match"]))
    if "range" in part:
        return qe.FieldCondition(part["key"], range=_range(part["range"]))
    return to_edge_filter(part)


def _match(match: Condition) -> qe.MatchValue | qe.MatchAny:
    if "any" in match:
        return qe.MatchAny(match["any"])
    value = match["value"]
    # the binding (0.9.0) takes True for the integer 1; a numpy bool is no integer
    return qe.MatchValue(cast("bool", np.bool_(value)) if isinstance(value, bool) else value)


def _range(bounds: Condition) -> qe.RangeFloat | qe.RangeDateTime:
    if any(isinstance(bound, str) for bound in bounds.values()):
        return qe.RangeDateTime(**bounds)
    return qe.RangeFloat(**bounds)
