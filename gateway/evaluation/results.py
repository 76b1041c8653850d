"""What an evaluation found, as frozen values: the contract between runner, reports and gate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

from gateway.domain.calibration import Calibration

Option: TypeAlias = str | int | float | bool | None

Facts: TypeAlias = Mapping[str, Option]
"""What is known of a run, by name: stage, variant, and size, quantization and coarse of its vectors."""

PRIMARY: Final = "ndcg@10"
"""The measure by which runs are compared and recommended."""

VARIANT: Final = "variant"
"""Option of runs under other settings than the configured ones: what differs."""

NO_OPTIONS: Mapping[str, Option] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Interval:
    """The middle 95 % of bootstrap means over the queries: where another sample of them would be."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document in a ranking, with the score of its best chunk."""

    document_id: str
    score: float


@dataclass(frozen=True, slots=True)
class JudgedHit:
    """A chunk that a search found, and whether it is relevant: by the spans of its document, if any."""

    score: float
    relevant: bool


@dataclass(frozen=True, slots=True)
class QueryResult:
    """One query of one run: measures by name, the ranking, and the seconds of the search.

    `hits` are what a plain search, not by document, shows first; only for calibration. `seconds` is
    the search without the encoding of the query, which is cached here.
    """

    query_id: str
    metrics: Mapping[str, float]
    ranking: tuple[Ranked, ...] = ()
    seconds: float = 0.0
    hits: tuple[JudgedHit, ...] = ()


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of a search without the encoding of its query."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Index:
    """What is searched. `tokens` were read by the model to make it, `truncated_tokens` were lost.

    `searched_bytes` are the bytes a chunk has in what a search looks through: its quantised or short
    copy where there is one, its words, or both. `stored_bytes` are all of its vectors and words.
    """

    documents: int
    chunks: int
    tokens: int
    searched_bytes: int
    stored_bytes: int
    truncated_tokens: int = 0

    @property
    def bytes(self) -> int:
        """Bytes of all vectors and words."""
        return self.chunks * self.stored_bytes


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a run searched with. `name` tells it from the other runs of its report.

    `stage` is the mode of search with what follows it (dense, lexical, hybrid, hybrid+rerank, ...),
    `quantization` none, int8, ...; `coarse` the size of a first pass over short vectors.
    """

    name: str
    stage: str
    profile: str
    space: str
    size: int
    quantization: str = "none"
    coarse: int | None = None
    options: Mapping[str, Option] = field(default_factory=lambda: NO_OPTIONS)

    @property
    def by_words(self) -> bool:
        """Tell a search by words alone: the form of vectors is nothing to it."""
        return self.stage.startswith("lexical")

    @property
    def facts(self) -> Facts:
        """What makes it comparable with a run of an earlier report, whatever the model."""
        found: dict[str, Option] = {"stage": self.stage, VARIANT: self.options.get(VARIANT)}
        if self.by_words:
            return found
        return {
            **found,
            "size": self.size,
            "quantization": self.quantization,
            "coarse": self.coarse,
        }

    @property
    def key(self) -> tuple[Option, ...]:
        """The facts as one value: runs of equal keys are the same."""
        return tuple(self.facts.values())


@dataclass(frozen=True, slots=True)
class Run:
    """One configuration over all measured queries. `metrics` are means, with their intervals.

    `query_tokens` were read by the model for the queries, prompts included.
    """

    configuration: Configuration
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    queries: tuple[QueryResult, ...]
    latency: Latency
    index: Index
    query_tokens: int = 0

    @property
    def name(self) -> str:
        return self.configuration.name

    @property
    def by_words(self) -> bool:
        """Tell a run by words alone, which has no vector size."""
        return self.configuration.by_words

    def per_query(self, metric: str) -> dict[str, float]:
        """One measure of every query that has it, by query id."""
        return {q.query_id: q.metrics[metric] for q in self.queries if metric in q.metrics}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs over the same queries. `difference` is the mean of `run` minus that of `against`.

    `p_value` is how often a difference as large comes up when each query's two values are swapped by
    chance (paired randomisation test, two-sided; Smucker et al., 2007). `wins` counts queries where
    `run` is better.
    """

    run: str
    against: str
    metric: str
    difference: float
    p_value: float
    wins: int
    losses: int
    ties: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """Facts of the golden set. `queries` were measured; `unjudged` and `hopeless` left out."""

    name: str
    split: str
    sha256: str
    queries: int
    judgments: int
    graded: bool
    unjudged: int
    hopeless: int
    documents: int | None
    empty: int
    spans: int


@dataclass(frozen=True, slots=True)
class Published:
    """A figure of a model's card at a vector size, another benchmark than ours as a rule.

    `profile` names the model; it is empty in reports that did not tell it.
    """

    benchmark: str
    size: int
    score: float
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The run to take for a budget, and why. `frontier` are the runs no other one beats in both."""

    run: str
    why: str
    metric: str = PRIMARY
    max_drop: float | None = None
    max_bytes_per_chunk: int | None = None
    frontier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration of the scores of one run by a stage, with its errors on held-out queries.

    `brier` is the mean squared distance between probability and outcome, `error` the expected
    calibration error: how far apart the two are on average in ten bins (Guo et al., 2017). `kept`
    names the collection that it is kept with, `replaced` the judged hits of the one it had before.
    """

    run: str
    stage: str
    calibration: Calibration
    brier: float
    error: float
    kept: str | None = None
    replaced: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All runs over one golden set. `warnings` are for whoever reads the figures.

    `depth` is how many documents of a ranking were kept; `versions` is the software that took part.
    """

    dataset: Dataset
    runs: tuple[Run, ...]
    depth: int
    comparisons: tuple[Comparison, ...] = ()
    recommendation: Recommendation | None = None
    published: tuple[Published, ...] = ()
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    seconds: float = 0.0
    calibrations: tuple[Calibrated, ...] = ()

    def run(self, name: str) -> Run:
        """Return the run of a name."""
        return next(run for run in self.runs if run.name == name)
