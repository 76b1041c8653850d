"""What a collection is: a name, a space, a size, and the fields it can filter by."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from gateway.domain.calibration import Calibration
from gateway.domain.lexical import Lexical
from gateway.errors import CollectionMismatch, InvalidName, InvalidRequest, SpaceMismatch

SCHEMA_VERSION = 1
"""Version of the stored layout (payload keys, vector names)."""

METADATA = "metadata."
"""What filters put before the name of a metadata field."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*")


class FieldType(StrEnum):
    """How a declared metadata field is indexed."""

    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    BOOL = "bool"
    DATETIME = "datetime"


CHUNK_FIELDS: Mapping[str, FieldType] = MappingProxyType(
    {
        "document_id": FieldType.KEYWORD,
        "chunk_index": FieldType.INTEGER,
        "content_hash": FieldType.KEYWORD,
        "title": FieldType.KEYWORD,
        "source": FieldType.KEYWORD,
        "ingested_at": FieldType.DATETIME,
    }
)
"""Fields of a chunk itself that a filter may name, beside `metadata.` ones."""


class Quantization(StrEnum):
    """How the vectors that a search looks through are stored beside the originals.

    Whatever it is, the best candidates are scored again by the originals.
    """

    NONE = "none"
    INT8 = "int8"
    TURBO4 = "turbo4"
    TURBO2 = "turbo2"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a collection is searched where exact search is too slow: found by measuring.

    `oversampling` is how many candidates are scored again per hit wanted after a quantised pass,
    `coarse_oversampling` the same after a pass over short vectors, `hnsw_ef` how many neighbours
    the graph keeps in view.
    """

    quantization: Quantization = Quantization.INT8
    oversampling: float = 2.0
    coarse_oversampling: float = 10.0
    hnsw_ef: int = 128


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """Identity and schema of a collection; the distance is always dot over unit vectors.

    `profile` and `space` are the model profile's name and fingerprint, `size` the length of the
    stored vectors, `filter_fields` the metadata fields (without the `metadata.` prefix) to index.
    `lexical` says how words are weighed (None: no word is indexed), `coarse` the size of the short
    vectors stored beside (None: none are). These never change. `tuning`, and `calibrations` by
    what gives the score (a mode, or that and `+rerank`), may be amended.
    """

    name: str
    profile: str
    space: str
    size: int
    filter_fields: Mapping[str, FieldType] = field(default_factory=lambda: MappingProxyType({}))
    schema_version: int = SCHEMA_VERSION
    lexical: Lexical | None = None
    coarse: int | None = None
    tuning: Tuning = field(default_factory=Tuning)
    calibrations: Mapping[str, Calibration] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        require_name(self.name)
        for key in self.filter_fields:
            require_field(key)
        if self.coarse is not None and not 1 <= self.coarse < self.size:
            raise InvalidRequest(
                f"coarse size {self.coarse} is not shorter than the collection's size {self.size}; "
                "take a smaller one, or leave it out",
                field="coarse",
            )

    @property
    def metadata_fields(self) -> Mapping[str, FieldType]:
        """The declared metadata fields, as filters name them."""
        return {METADATA + key: kind for key, kind in self.filter_fields.items()}


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


def usual_coarse(coarse: int | None, size: int) -> int | None:
    """Return the operator's size of short vectors where full ones of `size` are longer, else None."""
    return coarse if coarse is not None and coarse < size else None


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


def require_unprefixed(names: Iterable[str]) -> None:
    """Refuse fields of a new collection that are named as filters name them.

    Declared so, the field would lie in a key `metadata` of the documents' metadata, where it seldom is.

    Raises:
        InvalidName: says which name to declare.
    """
    for name in names:
        bare = name.removeprefix(METADATA)
        if bare != name:
            raise InvalidName(
                f"declare the field as {bare!r}, without the prefix; filters then name it {name!r}",
                field="filter_fields",
            )


def require_space(stored: CollectionSpec, offered: str) -> CollectionSpec:
    """Return the stored spec when vectors of the space `offered` belong there, or refuse them.

    Raises:
        SpaceMismatch: names both fingerprints and the remedy.
    """
    if stored.space != offered:
        raise SpaceMismatch(stored.name, stored=stored.space, offered=offered)
    return stored


def require_lexical(spec: CollectionSpec) -> Lexical:
    """Return how a collection weighs words.

    Raises:
        InvalidRequest: it has no words indexed.
    """
    if spec.lexical is None:
        raise InvalidRequest(
            f"collection {spec.name!r} has no lexical vectors: search it by mode dense, or ingest "
            "into a new collection (new ones have them unless they are switched off)",
            field="mode",
        )
    return spec.lexical


def require_same(stored: CollectionSpec, asked: CollectionSpec) -> CollectionSpec:
    """Return the stored spec when `asked` may use it.

    Raises:
        SpaceMismatch: another fingerprint.
        CollectionMismatch: another size, other lexical or short vectors, or declared fields that the
            stored schema does not have. Folding is not compared: nobody chooses it.
    """
    require_space(stored, asked.space)
    if stored.size != asked.size:
        raise CollectionMismatch(
            f"collection {stored.name!r} stores vectors of size {stored.size}, not {asked.size}; "
            f"ask for size {stored.size}, or ingest into a new collection"
        )
    wanted = asked.lexical
    if stored.lexical is not None and wanted is not None:
        wanted = replace(wanted, folding=stored.lexical.folding)
    if stored.lexical != wanted:
        raise CollectionMismatch(
            f"collection {stored.name!r} {_weighing(stored.lexical)}, and one was asked for that "
            f"{_weighing(wanted)}: that is decided when a collection is made; ingest into a new "
            "one"
        )
    if stored.coarse != asked.coarse:
        raise CollectionMismatch(
            f"collection {stored.name!r} has {_short(stored.coarse)}, and one was asked for that has "
            f"{_short(asked.coarse)}: that is decided when a collection is made; ingest into a new one"
        )
    for key, kind in asked.filter_fields.items():
        if stored.filter_fields.get(key) != kind:
            raise CollectionMismatch(
                f"collection {stored.name!r} does not index field {key!r} as {kind.value}; "
                "declare filter fields when the collection is made"
            )
    return stored


def _weighing(lexical: Lexical | None) -> str:
    return "indexes no words" if lexical is None else f"weighs words by {lexical}"


def _short(size: int | None) -> str:
    return "no short vectors" if size is None else f"short vectors of size {size}"


def amended(stored: CollectionSpec, asked: CollectionSpec) -> CollectionSpec:
    """Return the stored spec with the tuning and the calibrations of `asked`.

    Raises:
        SpaceMismatch, CollectionMismatch: as `require_same`.
    """
    require_same(stored, asked)
    return replace(stored, tuning=asked.tuning, calibrations=asked.calibrations)
