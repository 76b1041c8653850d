"""What a collection is: a name, a space, a size, and the fields it can filter by."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from gateway.errors import CollectionMismatch, InvalidName, SpaceMismatch

SCHEMA_VERSION = 1
"""Version of the stored layout (payload keys, vector names)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*")


class FieldType(StrEnum):
    """How a declared metadata field is indexed."""

    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """Identity and schema of a collection; the distance is always dot over unit vectors.

    `profile` and `space` are the model profile's name and fingerprint, `size` the length of the
    stored vectors, `filter_fields` the metadata fields (without the `metadata.` prefix) to index.
    """

    name: str
    profile: str
    space: str
    size: int
    filter_fields: Mapping[str, FieldType] = field(default_factory=lambda: MappingProxyType({}))
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        require_name(self.name)
        for key in self.filter_fields:
            require_field(key)


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as found in a store; `chunks` is its exact number of chunks."""

    spec: CollectionSpec
    chunks: int


@dataclass(frozen=True, slots=True)
class StoredForm:
    """A collection as the engine keeps it, whatever its spec says.

    `distance` is the engine's word for it in lower case ("dot"), `size` the length of its vectors
    (None: it has none of ours), `unindexed` the payload fields that lack their index.
    """

    distance: str
    size: int | None
    unindexed: tuple[str, ...] = ()


def require_name(name: str) -> str:
    """Return a usable collection name or raise `InvalidName`.

    Letters, digits, `_`, `.` and `-`, at most 100, starting with a letter or digit: safe as a
    folder, as a URL segment and in Qdrant.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidName(
            f"collection name {name!r} is not usable; take 1-100 letters, digits, '_', '.', '-', "
            "starting with a letter or digit",
            field="name",
        )
    return name


def require_field(name: str) -> str:
    """Return a usable metadata path (keys joined by dots) or raise `InvalidName`."""
    if not _FIELD.fullmatch(name):
        raise InvalidName(
            f"field name {name!r} is not usable; take letters, digits, '_' and '-', nested by '.'",
            field="filter_fields",
        )
    return name


def require_space(stored: CollectionSpec, offered: str) -> CollectionSpec:
    """Return the stored spec when vectors of the space `offered` belong there, or refuse them.

    Raises:
        SpaceMismatch: names both fingerprints and the remedy.
    """
    if stored.space != offered:
        raise SpaceMismatch(stored.name, stored=stored.space, offered=offered)
    return stored


def require_same(stored: CollectionSpec, asked: CollectionSpec) -> CollectionSpec:
    """Return the stored spec when `asked` may use it.

    Raises:
        SpaceMismatch: another fingerprint.
        CollectionMismatch: another size, or declared fields the stored schema does not have.
    """
    require_space(stored, asked.space)
    if stored.size != asked.size:
        raise CollectionMismatch(
            f"collection {stored.name!r} stores vectors of size {stored.size}, not {asked.size}; "
            f"ask for size {stored.size}, or ingest into a new collection"
        )
    for key, kind in asked.filter_fields.items():
        if stored.filter_fields.get(key) != kind:
            raise CollectionMismatch(
                f"collection {stored.name!r} does not index field {key!r} as {kind.value}; "
                "declare filter fields when the collection is made"
            )
    return stored
