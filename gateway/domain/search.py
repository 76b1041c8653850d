"""What can be asked of a collection: filters, dense queries, hits. No vendor type in sight."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias
from uuid import UUID

from gateway.domain.documents import Chunk
from gateway.domain.vectors import Vector

FilterValue: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Eq:
    """The field holds `value`, or is a list that contains it."""

    field: str
    value: FilterValue


@dataclass(frozen=True, slots=True)
class In:
    """The field holds one of `values`, or is a list that contains one of them."""

    field: str
    values: tuple[FilterValue, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """Every bound given holds; numbers compare as numbers, strings as RFC 3339 times."""

    field: str
    gt: float | str | None = None
    gte: float | str | None = None
    lt: float | str | None = None
    lte: float | str | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """The field is present, not null and not an empty list."""

    field: str


@dataclass(frozen=True, slots=True)
class And:
    filters: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    filters: "tuple[Filter, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    filter: "Filter"


Filter: TypeAlias = Eq | In | Range | Exists | And | Or | Not
"""A condition on a chunk. `field` is a payload path: `document_id`, `chunk_index`, `content_hash`,
`title`, `source`, `ingested_at`, or `metadata.<key>` (nested keys joined by dots)."""


@dataclass(frozen=True, slots=True)
class DenseQuery:
    """Nearest chunks to a unit float32 `vector` of the collection's size, by dot product.

    `space` is the fingerprint of the vector's space, which the collection and every hit must have.
    `exact` asks for brute force where the engine would otherwise use an index.
    """

    vector: Vector
    limit: int
    space: str
    offset: int = 0
    where: Filter | None = None
    score_threshold: float | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk with its score (dot product of unit vectors: -1..1 for dense search).

    `space` is what its writer said of the vector; empty where it said nothing.
    """

    id: UUID
    score: float
    chunk: Chunk
    ingested_at: str = ""
    stages: "tuple[StageScore, ...]" = field(default=(), compare=False)
    space: str = ""


@dataclass(frozen=True, slots=True)
class StageScore:
    """What one retrieval stage thought of a hit; `rank` counts from 1."""

    stage: str
    score: float
    rank: int


def ranked(hits: Iterable[Hit]) -> list[Hit]:
    """Order hits by score, highest first, ties by id: engines break ties each in their own way."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.id.int))
