"""What a search says of itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.search import Fusion, Hit


@dataclass(frozen=True, slots=True)
class StageTrace:
    """One stage as it ran: hits in, hits out, seconds spent; a skipped one failed and changed nothing."""

    stage: str
    candidates: int
    hits: int
    seconds: float
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a search was answered.

    The exact prompt, the space, the tokens read (0 where no vector was needed), the mode in force,
    how ranks were fused (hybrid only), how many candidates a first pass over vectors of size
    `coarse_size` left, the model that read hits again, and the stages in order. `trace_id` is the request's id
    where there is one.
    """

    trace_id: str
    task: str
    mode: str
    prompt: str
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
