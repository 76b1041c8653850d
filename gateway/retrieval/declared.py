"""Filters name fields that a collection indexes: any other would be looked for chunk by chunk.

Such a filter is slow where a collection is large, and an index over vectors cannot honour it well.
"""

from collections.abc import Iterator
from typing import Final

from gateway.domain.collections import CollectionSpec
from gateway.domain.search import And, Filter, Not, Or
from gateway.errors import InvalidFilter

_METADATA: Final = "metadata."


def require_declared_fields(spec: CollectionSpec, where: Filter | None) -> None:
    """Let a filter pass that names declared metadata fields only, or fields of the chunk itself.

    Raises:
        InvalidFilter: names the field, those that are declared, and the remedy.
    """
    if where is None:
        return
    for field in _fields(where):
        if field.startswith(_METADATA) and field.removeprefix(_METADATA) not in spec.filter_fields:
            known = ", ".join(_METADATA + key for key in spec.filter_fields) or "none"
            raise InvalidFilter(
                f"collection {spec.name!r} does not index {field!r} (declared: {known}); declare the "
                "field when the collection is made (filter_fields, or --field NAME:TYPE) and ingest "
                "into it",
                field="filter",
            )


def _fields(where: Filter) -> Iterator[str]:
    """All fields that a filter names."""
    if isinstance(where, And | Or):
        for part in where.filters:
            yield from _fields(part)
    elif isinstance(where, Not):
        yield from _fields(where.filter)
    else:
        yield where.field
