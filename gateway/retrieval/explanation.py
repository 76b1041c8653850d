"""What a search says of itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.search import Fusion, Hit, Pass


@dataclass(frozen=True, slots=True)
class StageTrace:
    """One stage as it ran: hits in, hits out, seconds spent; a skipped one failed and changed nothing.

    `passes` are the looks through the collection within the stage; its seconds hold theirs.
    """

    stage: str
    candidates: int
    hits: int
    seconds: float
    skipped: bool = False
    passes: tuple[Pass, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a search was answered.

    The exact prompt (None where nothing was embedded), the space, the tokens read, the mode in force,
    how ranks were fused (hybrid, or several texts), how many candidates a first pass over vectors of
    size `coarse_size` left per hit wanted, the model that read hits again, and the stages in order.
    `trace_id` is the request's id where there is one.
    """

    trace_id: str
    task: str
    mode: str
    prompt: str | None
    space: str
    size: int
    tokens: int
    embed_seconds: float
    stages: tuple[StageTrace, ...]
    fusion: Fusion | None = None
    coarse_size: int | None = None
    coarse_oversampling: float | None = None
    reranker: str | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, with the explanation and any warnings for the caller."""

    hits: Sequence[Hit]
    explanation: Explanation
    warnings: tuple[str, ...] = field(default=())
