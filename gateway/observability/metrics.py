"""Events as Prometheus metrics: base units, one registry per runtime, no global state."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gateway.events import (
    CacheFailed,
    CacheRead,
    CacheWritten,
    CanaryFinished,
    DocumentDone,
    Embedded,
    Event,
    Hedged,
    InputsShared,
    ReplicaChanged,
    Searched,
    Truncated,
    UpstreamCalled,
    UpstreamRetried,
    WindowChanged,
    WorkerRestarted,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)

REPLICA_UP = {"closed": 1.0, "half-open": 0.5, "open": 0.0}


class Metrics:
    """The gateway's metrics. Call it with events (it is a `Sink`); `render` writes the page."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self._inputs = Counter(
            "gateway_embedded_inputs", "Texts embedded", ["task"], registry=registry
        )
        self._tokens = Counter(
            "gateway_embedded_tokens", "Tokens read by the model", ["task"], registry=registry
        )
        self._truncated = Counter(
            "gateway_truncated_tokens",
            "Tokens cut off texts whose callers allowed it",
            ["task"],
            registry=registry,
        )
        self._embed = Histogram(
            "gateway_embed_duration_seconds",
            "One embedding call",
            buckets=SECONDS,
            registry=registry,
        )
        self._search = Histogram(
            "gateway_search_duration_seconds", "One search", buckets=SECONDS, registry=registry
        )
        self._documents = Counter(
            "gateway_ingested_documents", "Documents by outcome", ["outcome"], registry=registry
        )
        self._chunks = Counter("gateway_ingested_chunks", "Chunks stored", registry=registry)
        self._restarts = Counter(
            "gateway_store_worker_restarts", "Embedded store workers restarted", registry=registry
        )
        self._savings = _SavingsMetrics(registry)
        self._upstream = _UpstreamMetrics(registry)
        self._requests = Histogram(
            "gateway_http_request_duration_seconds",
            "One HTTP request",
            ["method", "route", "status"],
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "gateway_http_requests_in_flight", "HTTP requests being served", registry=registry
        )
        # What every request counts is looked up once: the library takes a lock for each look.
        self._inputs_of = cache(self._inputs.labels)
        self._tokens_of = cache(self._tokens.labels)
        self._requests_of = cache(self._requests.labels)

    def __call__(self, event: Event) -> None:
        match event:
            case Embedded(task=task, inputs=inputs, tokens=tokens, seconds=seconds):
                self._inputs_of(task).inc(inputs)
                self._tokens_of(task).inc(tokens)
                self._embed.observe(seconds)
            case Truncated(task=task, tokens=tokens):
                self._truncated.labels(task).inc(tokens)
            case Searched(seconds=seconds):
                self._search.observe(seconds)
            case DocumentDone(outcome=outcome, chunks=chunks):
                self._documents.labels(outcome).inc()
                self._chunks.inc(chunks)
            case WorkerRestarted():
                self._restarts.inc()
            case InputsShared() | CacheRead() | CacheWritten() | CacheFailed():
                self._savings(event)
            case _:
                self._upstream(event)

    def served(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record one HTTP request; `route` is the path template, never the path itself."""
        self._requests_of(method, route, str(status)).observe(seconds)

    def render(self) -> bytes:
        """Return the page that Prometheus reads, in its text format."""
        return generate_latest(self.registry)


class _UpstreamMetrics:
    """Services behind the gateway: calls, and the replicas of a model."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Histogram(
            "gateway_upstream_duration_seconds",
            "One attempt on a service behind the gateway",
            ["service", "operation", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self._calls_of = cache(self._calls.labels)
        self._retries = Counter(
            "gateway_upstream_retries", "Attempts repeated", ["service", "error"], registry=registry
        )
        self._replicas = Gauge(
            "gateway_upstream_replica_up",
            "1: asked, 0.5: on trial, 0: left out",
            ["service", "replica"],
            registry=registry,
        )
        self._windows = Gauge(
            "gateway_upstream_window_inputs",
            "Inputs that may be in flight to a replica",
            ["service", "replica"],
            registry=registry,
        )
        self._canaries = Counter(
            "gateway_canary_runs",
            "Known texts embedded again: ok, drift, uneven or unanswered",
            ["service", "replica", "outcome"],
            registry=registry,
        )
        self._canary_tokens = Counter(
            "gateway_canary_tokens",
            "Tokens that canaries cost",
            ["service", "replica"],
            registry=registry,
        )
        self._hedges = Counter(
            "gateway_upstream_hedges",
            "Slow queries asked of a second replica, by whether it answered first",
            ["service", "won"],
            registry=registry,
        )

    def __call__(self, event: Event) -> None:
        match event:
            case UpstreamCalled(service=service, operation=operation, outcome=outcome):
                self._calls_of(service, operation, outcome).observe(event.seconds)
            case UpstreamRetried(service=service, slug=slug):
                self._retries.labels(service, slug).inc()
            case ReplicaChanged(service=service, where=where, state=state):
                self._replicas.labels(service, where).set(REPLICA_UP[state])
            case WindowChanged(service=service, where=where, inputs=inputs):
                self._windows.labels(service, where).set(inputs)
            case CanaryFinished(service=service, where=where, outcome=outcome, tokens=tokens):
                self._canaries.labels(service, where, outcome).inc()
                self._canary_tokens.labels(service, where).inc(tokens)
            case Hedged(service=service, won=won):
                self._hedges.labels(service, str(won).lower()).inc()
            case _:
                return


class _SavingsMetrics:
    """Texts that needed no encoding: shared in flight, or found in the cache."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._shared = Counter(
            "gateway_shared_inputs",
            "Texts not encoded because the same one was in flight",
            registry=registry,
        )
        self._hits = Counter(
            "gateway_cache_hits", "Texts found in the cache", ["cache"], registry=registry
        )
        self._misses = Counter(
            "gateway_cache_misses", "Texts not found in the cache", ["cache"], registry=registry
        )
        self._written = Counter(
            "gateway_cache_written", "Entries put into the cache", ["cache"], registry=registry
        )
        self._evictions = Counter(
            "gateway_cache_evictions", "Entries dropped for room", ["cache"], registry=registry
        )
        self._bytes = Gauge(
            "gateway_cache_bytes", "Bytes that the cache holds", ["cache"], registry=registry
        )
        self._failures = Counter(
            "gateway_cache_failures",
            "Entries not read or written",
            ["cache", "operation", "reason"],
            registry=registry,
        )

    def __call__(self, event: InputsShared | CacheRead | CacheWritten | CacheFailed) -> None:
        match event:
            case InputsShared(inputs=inputs):
                self._shared.inc(inputs)
            case CacheRead(cache=cache, hits=hits, misses=misses):
                self._hits.labels(cache).inc(hits)
                self._misses.labels(cache).inc(misses)
            case CacheWritten(cache=cache, entries=entries, evicted=evicted):
                self._written.labels(cache).inc(entries)
                self._evictions.labels(cache).inc(evicted)
                if event.held_bytes is not None:
                    self._bytes.labels(cache).set(event.held_bytes)
            case CacheFailed(cache=cache, operation=operation, reason=reason, entries=entries):
                self._failures.labels(cache, operation, reason).inc(entries)
