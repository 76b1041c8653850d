"""What an evaluation is asked to do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from gateway.domain.collections import Lexical, Quantization, Tuning
from gateway.embedding.profile import Task
from gateway.errors import InvalidRequest
from gateway.retrieval.pipeline import MOST_HITS, SearchOptions
from gateway.retrieval.stages import Mode

STAGES: Final = (Mode.DENSE.value, Mode.LEXICAL.value, Mode.HYBRID.value)
"""What is run unless it is said otherwise."""
EXACT: Final = "exact"
"""Dense search of every full vector: the bar for an index, quantisation and a first short pass."""
ALL_STAGES: Final = (EXACT, *STAGES)
SWEPT: Final = (Quantization.NONE, Quantization.INT8, Quantization.BINARY)
"""Quantisations of a sweep unless others are asked for."""
DEPTH: Final = 100
SPAN_DEPTHS: Final = (1, 5, 10, 20)
"""How many chunks are looked at for spans."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: not known)."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to index and search a golden set.

    `stages` are modes of search, or `exact`; `sizes` the vector sizes to index at (the default size when empty);
    `quantizations` how vectors are searched (as a new collection is when empty).
    `coarse` is the size of short vectors to store beside, for a first pass. `depth` is how many
    documents of a ranking are kept. `whole` embeds every document as one text,
    its end cut off where the model's limit is, as publishers of figures do. `collection` is an
    existing one to search instead of indexing the corpus. `sweep` takes every size of the model, and
    some quantisations, and recommends a run that is within `max_drop` of the best and within `max_bytes_per_chunk`.
    """

    stages: tuple[str, ...] = STAGES
    sizes: tuple[int, ...] = ()
    quantizations: tuple[Quantization, ...] = ()
    coarse: int | None = None
    depth: int = DEPTH
    whole: bool = False
    lexical: Lexical = field(default_factory=Lexical)
    task: str = Task.QUERY
    collection: str | None = None
    sweep: bool = False
    max_drop: float | None = None
    max_bytes_per_chunk: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.depth <= MOST_HITS:
            raise InvalidRequest(f"--top is {self.depth}; take 1-{MOST_HITS}")
        if not self.stages:
            raise InvalidRequest(f"no stage to run; take some of {', '.join(ALL_STAGES)}")
        for stage in self.stages:
            require_stage(stage)

    @property
    def indexed(self) -> bool:
        """Tell whether small collections are to be indexed as large ones are."""
        return self.sweep or bool(self.quantizations)

    @property
    def kinds(self) -> tuple[Quantization, ...]:
        """Quantisations to search with."""
        return self.quantizations or (SWEPT if self.sweep else (Tuning().quantization,))


def require_stage(stage: str) -> str:
    """Return a stage that can be run.

    Raises:
        InvalidRequest: names those that can.
    """
    if stage not in ALL_STAGES:
        raise InvalidRequest(f"no stage {stage!r}; take {', '.join(ALL_STAGES)}")
    return stage


def options_of(stage: str, plan: Plan, limit: int, *, by_document: bool = True) -> SearchOptions:
    """Return how to search at a stage; a query over the model's limit loses its end."""
    return SearchOptions(
        task=plan.task,
        mode=Mode.DENSE if stage == EXACT else Mode(stage),
        exact=stage == EXACT,
        limit=limit,
        by_document=by_document,
        allow_prompted=True,
        truncate=True,
    )


def needs_words(stages: Sequence[str]) -> bool:
    """Tell whether a stage searches by words."""
    return not {Mode.DENSE.value, EXACT}.issuperset(stages)
