"""What can be asked of a collection: filters, queries, hits. No vendor type in sight."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from gateway.domain.documents import Chunk
from gateway.domain.vectors import Vector
from gateway.errors import InvalidRequest

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

    @property
    def bounds(self) -> dict[str, float | str]:
        """The bounds that are given, by name."""
        named = {"gt": self.gt, "gte": self.gte, "lt": self.lt, "lte": self.lte}
        return {name: bound for name, bound in named.items() if bound is not None}


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
class Pass:
    """One look through a collection on the way to an answer.

    `stage` is `coarse` (short vectors), `dense` or `lexical`; `candidates` are the hits that it was
    given, 0 where it looked through the collection itself; `hits` those that it found.
    """

    stage: str
    candidates: int
    hits: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DenseQuery:
    """Nearest chunks to a unit float32 `vector` of the collection's size, by dot product.

    `space` is the fingerprint of the vector's space, which the collection and every hit must have.
    `exact` asks for brute force where the engine would otherwise use an index. `coarse` asks for a
    first pass over the collection's short vectors that leaves so many candidates, which are then
    scored by the full ones. `with_vectors` asks for the vector of every hit. `explain` asks for what
    the first pass thought of a hit, and for the pass itself in `passes`.
    """

    vector: Vector
    limit: int
    space: str
    offset: int = 0
    where: Filter | None = None
    score_threshold: float | None = None
    exact: bool = False
    coarse: int | None = None
    with_vectors: bool = False
    explain: bool = False
    passes: list[Pass] = field(default_factory=list[Pass], init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class LexicalQuery:
    """Chunks that share words with `text`, by BM25: only those that share one are hits.

    `space` is checked as in `DenseQuery`, since hits of one collection are compared with each other.
    """

    text: str
    limit: int
    space: str
    offset: int = 0
    where: Filter | None = None
    score_threshold: float | None = None
    with_vectors: bool = False


RANK_CONSTANT: Final = 60
"""k of reciprocal rank fusion, as its authors had it."""


class FusionMethod(StrEnum):
    """How the ranks or scores of several searches become one."""

    RRF = "rrf"
    DBSF = "dbsf"


@dataclass(frozen=True, slots=True)
class Fusion:
    """Reciprocal rank fusion (`k`, `weights`), or distribution-based score fusion (neither).

    `weights` are those of the dense and of the lexical search (`domain.fusion` has the formulas).
    """

    method: FusionMethod = FusionMethod.RRF
    k: int = RANK_CONSTANT
    weights: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 10_000:
            raise InvalidRequest(f"k of the fusion is {self.k}; take 1-10000", field="fusion.k")
        if not all(0 <= weight <= 1_000 for weight in self.weights) or not any(self.weights):
            raise InvalidRequest(
                f"weights of the fusion are {self.weights}; take 0-1000, not all 0",
                field="fusion.weights",
            )
        if self.method is FusionMethod.DBSF and self.weights != (1.0, 1.0):
            raise InvalidRequest(
                "score fusion (dbsf) takes no weights; use rrf for weights", field="fusion.weights"
            )


@dataclass(frozen=True, slots=True)
class HybridQuery:
    """A dense and a lexical search, fused: `candidates` of each are ranked together.

    Filter, space, coarse pass and vectors are those of `dense`; `limit` and `offset` are ours, and
    those of `dense` do not count. `score_threshold` is held against the fused score. `explain` asks
    for what each half thought of a hit, which stores that have it anyway tell always, and for the
    halves themselves in `passes`.
    """

    dense: DenseQuery
    text: str
    limit: int
    candidates: int
    offset: int = 0
    fusion: Fusion = field(default_factory=Fusion)
    score_threshold: float | None = None
    explain: bool = False
    passes: list[Pass] = field(default_factory=list[Pass], init=False, compare=False, repr=False)

    @property
    def space(self) -> str:
        return self.dense.space

    @property
    def lexical(self) -> LexicalQuery:
        """The lexical half, `candidates` deep."""
        dense = self.dense
        return LexicalQuery(
            self.text,
            self.candidates,
            dense.space,
            where=dense.where,
            with_vectors=dense.with_vectors,
        )

    @property
    def nearest(self) -> DenseQuery:
        """The dense half, `candidates` deep, with passes of its own."""
        return replace(
            self.dense,
            limit=self.candidates,
            offset=0,
            score_threshold=None,
            explain=self.explain,
        )


StoreQuery: TypeAlias = DenseQuery | LexicalQuery | HybridQuery


@dataclass(frozen=True, slots=True)
class StageScore:
    """What one retrieval stage thought of a hit; `rank` counts from 1."""

    stage: str
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk with its score (dot product of unit vectors: -1..1 for dense search).

    `space` is what its writer said of the vector; empty where it said nothing. `vector` is there
    when it was asked for. `probability` that the hit is relevant: where the collection is calibrated.
    `neighbours` are the chunks around it in its document, in order, when they were asked for.
    """

    id: UUID
    score: float
    chunk: Chunk
    ingested_at: str = ""
    stages: tuple[StageScore, ...] = field(default=(), compare=False)
    space: str = ""
    vector: Vector | None = field(default=None, compare=False)
    probability: float | None = field(default=None, compare=False)
    neighbours: tuple[Chunk, ...] = field(default=(), compare=False)
