"""What an evaluation is asked to do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway.domain.collections import Quantization, Tuning
from gateway.domain.lexical import Lexical
from gateway.embedding.profile import Task
from gateway.errors import InvalidRequest
from gateway.retrieval.options import MOST_HITS, SearchOptions
from gateway.retrieval.query import Group, Mode, Rerank

STAGES: Final = (Mode.DENSE.value, Mode.LEXICAL.value, Mode.HYBRID.value)
"""What is run unless it is said otherwise."""
EXACT: Final = "exact"
"""Dense search of every full vector: the bar for an index, quantisation and a first short pass."""
ALL_STAGES: Final = (EXACT, *STAGES)
ORDERED: Final = ("rerank", "mmr")
"""What may follow a stage: the reranker, maximal marginal relevance."""
MMR: Final = 0.5
SWEPT: Final = (Quantization.NONE, Quantization.INT8, Quantization.BINARY)
"""Quantisations of a sweep unless others are asked for."""
DEPTH: Final = 100
LEAST_DEPTH: Final = 10
SPAN_DEPTHS: Final = (1, 5, 10, 20)
"""How many chunks are looked at for spans."""
READ: Final = SPAN_DEPTHS[-1]
"""Chunks of a plain search that are looked at in all: as deep as people read."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: not known)."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to index and search a golden set.

    `stages` are modes of search or `exact`, some followed by `+rerank` or `+mmr`; `sizes` the vector sizes to index at (the default size when empty);
    `quantizations` how vectors are searched (as a new collection is when empty).
    `coarse` is the size of short vectors to store beside, for a first pass. `depth` is how many
    documents of a ranking are kept. `whole` embeds every document as one text,
    its end cut off where the model's limit is, as publishers of figures do. `lexical` says how words
    are weighed (None: as in a new collection). `collection` is an
    existing one to search instead of indexing the corpus. `sweep` takes every size of the model, and
    some quantisations, and recommends a run that is within `max_drop` of the best and within `max_bytes_per_chunk`.
    `calibrate` fits scores to probabilities of relevance.
    """

    stages: tuple[str, ...] = STAGES
    sizes: tuple[int, ...] = ()
    quantizations: tuple[Quantization, ...] = ()
    coarse: int | None = None
    depth: int = DEPTH
    whole: bool = False
    lexical: Lexical | None = None
    task: str = Task.QUERY
    mmr: float = MMR
    collection: str | None = None
    sweep: bool = False
    max_drop: float | None = None
    max_bytes_per_chunk: int | None = None
    calibrate: bool = False

    def __post_init__(self) -> None:
        if not LEAST_DEPTH <= self.depth <= MOST_HITS:
            raise InvalidRequest(
                f"--top is {self.depth}; take {LEAST_DEPTH}-{MOST_HITS}: nDCG@10 is what runs are "
                "compared by"
            )
        if not self.stages:
            raise InvalidRequest(f"no stage to run; take some of {', '.join(ALL_STAGES)}")
        for stage in self.stages:
            parse_stage(stage)
        if self.max_bytes_per_chunk is not None and self.max_bytes_per_chunk < 1:
            raise InvalidRequest(
                f"--max-bytes-per-chunk is {self.max_bytes_per_chunk}; take 1 or more"
            )
        if not 0 <= self.mmr <= 1:
            raise InvalidRequest(f"--mmr is {self.mmr}; take 0-1, 1 for relevance alone")
        if self.collection is not None:
            self._require_as_it_is(self.collection)

    def _require_as_it_is(self, collection: str) -> None:
        """Refuse what only an index of the evaluation's own can be asked for."""
        asked = {
            "--size": self.sizes,
            "--coarse": self.coarse,
            "--quantization": self.quantizations,
            "--sweep": self.sweep,
            "--whole": self.whole,
            "--language, --k1, --b and --average-words": self.lexical,
        }
        if given := [name for name, value in asked.items() if value]:
            raise InvalidRequest(
                f"collection {collection!r} has its own size and form, and its words are weighed "
                f"already; leave {', '.join(given)} out, or leave --collection out to index the set in "
                "any form"
            )

    @property
    def indexed(self) -> bool:
        """Tell whether small collections are to be indexed as large ones are."""
        return self.sweep or bool(self.quantizations)

    @property
    def several(self) -> bool:
        """Tell whether there are forms of an index to choose from."""
        return self.indexed or len(self.sizes) > 1

    @property
    def kinds(self) -> tuple[Quantization, ...]:
        """Quantisations to search with."""
        return self.quantizations or (SWEPT if self.sweep else (Tuning().quantization,))


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage taken apart: what finds, and what orders it anew."""

    base: str
    rerank: bool = False
    mmr: bool = False

    @property
    def mode(self) -> Mode:
        return Mode.DENSE if self.base == EXACT else Mode(self.base)

    @property
    def by_words(self) -> bool:
        """Tell a search by words alone."""
        return self.base == Mode.LEXICAL


def parse_stage(name: str) -> Stage:
    """Read `hybrid`, `hybrid+rerank`, `dense+mmr`, ...

    Raises:
        InvalidRequest: names what can be run.
    """
    base, *more = name.split("+")
    if base not in ALL_STAGES or len(set(more)) < len(more) or not set(more) <= set(ORDERED):
        raise InvalidRequest(
            f"no stage {name!r}; take {', '.join(ALL_STAGES)}, with +{' or +'.join(ORDERED)} behind"
        )
    return Stage(base, rerank="rerank" in more, mmr="mmr" in more)


def options_of(
    name: str, plan: Plan, limit: int, *, candidates: int, by_document: bool = True
) -> SearchOptions:
    """Return how to search at a stage; a query over the model's limit loses its end.

    `candidates` are the hits that a reranker reads, where the stage has one.
    """
    stage = parse_stage(name)
    return SearchOptions(
        task=plan.task,
        mode=stage.mode,
        exact=stage.base == EXACT,
        coarse=False if stage.base == EXACT else None,
        limit=limit,
        rerank=Rerank(candidates) if stage.rerank else False,
        mmr=plan.mmr if stage.mmr else None,
        group=Group() if by_document else None,
        allow_prompted=True,
        truncate=True,
    )


def needs_words(stages: Sequence[str]) -> bool:
    """Tell whether a stage searches by words."""
    return any(parse_stage(name).mode is not Mode.DENSE for name in stages)
