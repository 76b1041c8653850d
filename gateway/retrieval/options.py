"""How a caller wants to search, and what of it a collection can serve."""

from dataclasses import dataclass, field

from gateway.domain.collections import CollectionSpec, require_lexical
from gateway.domain.search import RANK_CONSTANT, Filter, Fusion, FusionMethod
from gateway.embedding.profile import Task
from gateway.errors import InvalidRequest
from gateway.ports import Reranker
from gateway.retrieval.declared import by_moment
from gateway.retrieval.query import CANDIDATES, Ask, Group, GroupScore, Mode, Query, Rerank

MOST_HITS = 1_000
"""Most hits one search returns."""
DEEPEST = 10_000
"""Largest offset + limit."""
MOST_CHOSEN = 1_000
"""Most candidates that a reranker reads or that MMR chooses among: each costs work of its own."""
MOST_NEIGHBOURS = 10
MOST_QUERIES = 16
"""Most texts of one search."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search; every default is good without a thought.

    `mode` auto is hybrid where the collection indexes words, else dense. `coarse` None takes a first
    pass over short vectors where the collection has them; a number is the size they must have.
    `rerank` None reranks where a reranker is configured. `mmr` is the weight of relevance against
    diversity, 0 to 1. `exact` skips every index. `truncate` cuts a query that is over the model's
    limit, with a warning, instead of refusing it. `score_threshold` is held against the score that
    is returned, whatever gives it, `probability_threshold` (0-1) against its probability, which a
    calibration must tell (`retrieval.probability`). `trace_id` names the search in its explanation.
    """

    task: str = Task.QUERY
    mode: Mode = Mode.AUTO
    limit: int = 10
    offset: int = 0
    where: Filter | None = None
    score_threshold: float | None = None
    probability_threshold: float | None = None
    exact: bool = False
    coarse: bool | int | None = None
    fusion: Fusion = field(default_factory=Fusion)
    candidates: int = CANDIDATES
    rerank: Rerank | bool | None = None
    mmr: float | None = None
    group: Group | None = None
    neighbours: int = 0
    explain: bool = False
    allow_prompted: bool = False
    truncate: bool = False
    trace_id: str = ""

    def __post_init__(self) -> None:
        _require("limit", self.limit, 1, MOST_HITS)
        if self.offset < 0:
            raise InvalidRequest(f"offset must not be negative, got {self.offset}", field="offset")
        if self.offset + self.limit > DEEPEST:
            raise InvalidRequest(
                f"offset + limit must not exceed {DEEPEST}; narrow the search by a filter instead",
                field="offset",
            )
        _require("candidates", self.candidates, 1, DEEPEST)
        _require("neighbours", self.neighbours, 0, MOST_NEIGHBOURS)
        if self.mmr is not None:
            _require("mmr", self.mmr, 0, 1)
            _require("candidates", self.candidates, 1, MOST_CHOSEN, where=" with mmr")
            self._require_shallow("mmr", "leave mmr out")
        if self.group is not None:
            _require("group_size", self.group.size, 1, 100)
        if isinstance(self.rerank, Rerank):
            _require("rerank.candidates", self.rerank.candidates, 1, MOST_CHOSEN)

    def _require_shallow(self, stage: str, remedy: str) -> None:
        if self.offset + self.limit > MOST_CHOSEN:
            raise InvalidRequest(
                f"{stage} orders at most the first {MOST_CHOSEN} hits, and offset + limit is "
                f"{self.offset + self.limit}: narrow the search by a filter, or {remedy}",
                field="offset",
            )

    def require_rerankable(self) -> None:
        """Refuse a page that a reranker cannot order as a whole.

        Raises:
            InvalidRequest: it is too deep; names the remedy.
        """
        self._require_shallow("rerank", "switch it off (rerank false, --no-rerank)")


def group_of(score: GroupScore, size: int, *, by_document: bool) -> Group | None:
    """Return how hits are grouped.

    Raises:
        InvalidRequest: they are not, and something is said of groups.
    """
    if by_document:
        return Group(score, size)
    if (score, size) != (GroupScore.BEST, 1):
        raise InvalidRequest(
            'group_score and group_size are of hits by document: set group_by to "document" '
            "(--by-document) too, or leave them out",
            field="group_by",
        )
    return None


def query_of(
    spec: CollectionSpec, options: SearchOptions, rerank: Rerank | None, asks: tuple[Ask, ...]
) -> Query:
    """Return a search of one collection, checked against what the collection has."""
    mode = mode_of(spec, options.mode)
    fusion, warnings = _fusion(options.fusion, mode, several=len(asks) > 1)
    return Query(
        collection=spec.name,
        asks=asks,
        space=spec.space,
        limit=options.limit,
        offset=options.offset,
        where=by_moment(spec, options.where),
        score_threshold=options.score_threshold,
        exact=options.exact,
        mode=mode,
        coarse=_coarse(spec, options, mode),
        fusion=fusion,
        candidates=options.candidates,
        rerank=rerank,
        mmr=options.mmr,
        group=options.group,
        neighbours=options.neighbours,
        explain=options.explain,
        task=options.task,
        warnings=warnings,
    )


def _fusion(asked: Fusion, mode: Mode, *, several: bool) -> tuple[Fusion, list[str]]:
    """Return how rankings are fused, and what to say of the parts that are not used.

    Several texts are fused by reciprocal ranks of equal weight, whatever fuses the halves of each.
    """
    if mode is not Mode.HYBRID:
        used = Fusion(k=asked.k) if several else Fusion()
        parts = "method and weights of fusion are" if several else "fusion is"
        told = f"{parts} of hybrid searches, and not used in this one, which is {mode.value}"
        return used, [told] if asked != used else []
    if asked.method is FusionMethod.DBSF and asked.k != RANK_CONSTANT and not several:
        return asked, ["k of fusion is of ranks, and not used: dbsf fuses scores"]
    return asked, []


def mode_of(spec: CollectionSpec, asked: Mode) -> Mode:
    """Return the mode in force.

    Raises:
        InvalidRequest: words are asked for in a collection that indexes none.
    """
    if asked is Mode.AUTO:
        return Mode.DENSE if spec.lexical is None else Mode.HYBRID
    if asked is not Mode.DENSE:
        require_lexical(spec)
    return asked


def rerank_of(options: SearchOptions, reranker: Reranker | None, usual: Rerank) -> Rerank | None:
    """Return how to rerank, or that nothing is.

    Raises:
        InvalidRequest: it is asked for and no reranker is configured, or the page is too deep.
    """
    if options.rerank is False or (options.rerank is None and reranker is None):
        return None
    if reranker is None:
        raise InvalidRequest(
            "no reranker is configured: leave `rerank` out, or set rerank.urls (GATEWAY_RERANK__URLS) "
            "or rerank.kind=local",
            field="rerank",
        )
    options.require_rerankable()
    return options.rerank if isinstance(options.rerank, Rerank) else usual


def _coarse(spec: CollectionSpec, options: SearchOptions, mode: Mode) -> float | None:
    """Return the oversampling of a first pass over short vectors; None: there is no such pass."""
    asked = options.coarse
    sized = not isinstance(asked, bool) and asked is not None
    if sized and asked != spec.coarse:
        has = "none" if spec.coarse is None else f"those of size {spec.coarse}"
        raise InvalidRequest(
            f"collection {spec.name!r} has no short vectors of size {asked} (it has {has}, beside "
            f"full ones of size {spec.size}); leave `coarse` out, or ingest into a collection that "
            "is made with that coarse size",
            field="coarse",
        )
    if asked is True and spec.coarse is None:
        raise InvalidRequest(
            f"collection {spec.name!r} has no short vectors: leave `coarse` out, or ingest into a "
            "collection that is made with a coarse size",
            field="coarse",
        )
    if sized or asked is True:
        _require_short_used(options, mode)
    if asked is False or spec.coarse is None or options.exact or mode is Mode.LEXICAL:
        return None
    return spec.tuning.coarse_oversampling


def _require_short_used(options: SearchOptions, mode: Mode) -> None:
    """Refuse a first pass over short vectors in a search that makes none."""
    if options.exact:
        reason = "an exact search compares every full vector: leave `exact` or `coarse` out"
    elif mode is Mode.LEXICAL:
        reason = "a search for words compares no vectors: leave `coarse` out, or take another mode"
    else:
        return
    raise InvalidRequest(reason, field="coarse")


def _require(name: str, value: float, least: float, most: float, *, where: str = "") -> None:
    if not least <= value <= most:
        raise InvalidRequest(f"{name}{where} must be {least}-{most}, got {value}", field=name)
