"""Facts worth measuring: frozen, cheap, free of texts, vectors and secrets.

Use cases emit them into a `Sink`; `gateway.observability` listens. Durations are seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Embedded:
    """One `Embedder.embed` call that returned."""

    task: str
    inputs: int
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Truncated:
    """Inputs of one `Embedder.embed` call were cut, as its caller allowed; `tokens` were lost."""

    task: str
    inputs: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Searched:
    """One search that returned."""

    collection: str
    hits: int
    seconds: float


@dataclass(frozen=True, slots=True)
class DocumentDone:
    """One document left the ingest pipeline.

    `outcome` is added, updated, unchanged, empty or failed; `chunks` and `tokens` were written now.
    """

    collection: str
    outcome: str
    chunks: int
    tokens: int


@dataclass(frozen=True, slots=True)
class UpstreamCalled:
    """One attempt on a service behind us; `outcome` is "ok" or the slug of the error."""

    service: str
    operation: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class UpstreamRetried:
    """An attempt failed with the error `slug` and another one follows."""

    service: str
    operation: str
    slug: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ReplicaChanged:
    """A replica at `where` is asked (`closed`), left out (`open`) or on trial (`half-open`)."""

    service: str
    where: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CanaryFinished:
    """Known texts were embedded again by the server at `where`.

    `outcome` is ok, drift (other vectors than before: it is left out), uneven (the same text gets
    another vector in a batch of equal lengths: a warning) or unanswered.
    """

    service: str
    where: str
    outcome: str
    inputs: int
    tokens: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WindowChanged:
    """A server was full, or has room again: at most `inputs` may be in flight to it."""

    service: str
    where: str
    inputs: int


@dataclass(frozen=True, slots=True)
class Hedged:
    """A slow query was asked of a second replica; `won` says that the second answered first."""

    service: str
    won: bool


@dataclass(frozen=True, slots=True)
class WorkerRestarted:
    """The worker process of the embedded store died and was started again."""

    exit_code: int | None
    restarts: int


@dataclass(frozen=True, slots=True)
class InputsShared:
    """Inputs that were not encoded because the same text was in flight already."""

    inputs: int


@dataclass(frozen=True, slots=True)
class CacheRead:
    """One look into the cache of vectors; `hits` and `misses` are inputs."""

    cache: str
    hits: int
    misses: int


@dataclass(frozen=True, slots=True)
class CacheWritten:
    """Entries went into the cache; `held_bytes` is what it holds now, None where it is not known."""

    cache: str
    entries: int
    evicted: int
    held_bytes: int | None


@dataclass(frozen=True, slots=True)
class CacheFailed:
    """The cache did not do its part for some entries, which costs speed and nothing else.

    `operation` is read or write; `reason` is the slug of an error, "corrupt" for an entry that was
    not believed, or "full" for writes given up because too many waited.
    """

    cache: str
    operation: str
    reason: str
    entries: int


Event: TypeAlias = (
    Embedded
    | Truncated
    | Searched
    | DocumentDone
    | UpstreamCalled
    | UpstreamRetried
    | ReplicaChanged
    | CanaryFinished
    | WindowChanged
    | Hedged
    | WorkerRestarted
    | InputsShared
    | CacheRead
    | CacheWritten
    | CacheFailed
)
Sink: TypeAlias = Callable[[Event], None]


def discard(_event: Event) -> None:
    """Take an event and do nothing with it: the sink of a program that measures nothing."""


def fan_out(*sinks: Sink) -> Sink:
    """One sink that passes every event to each of `sinks`, in order."""

    def emit(event: Event) -> None:
        for sink in sinks:
            sink(event)

    return emit
