"""Events as Prometheus metrics: base units, one registry per runtime, no global state."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gateway.events import (
    DocumentDone,
    Embedded,
    Event,
    Searched,
    Truncated,
    UpstreamCalled,
    UpstreamRetried,
    WorkerRestarted,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)


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
        self._calls = Histogram(
            "gateway_upstream_duration_seconds",
            "One attempt on a service behind the gateway",
            ["service", "operation", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )
        self._retries = Counter(
            "gateway_upstream_retries", "Attempts repeated", ["service", "error"], registry=registry
        )
        self._restarts = Counter(
            "gateway_store_worker_restarts", "Embedded store workers restarted", registry=registry
        )
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

    def __call__(self, event: Event) -> None:
        match event:
            case Embedded(task=task, inputs=inputs, tokens=tokens, seconds=seconds):
                self._inputs.labels(task).inc(inputs)
                self._tokens.labels(task).inc(tokens)
                self._embed.observe(seconds)
            case Truncated(task=task, tokens=tokens):
                self._truncated.labels(task).inc(tokens)
            case Searched(seconds=seconds):
                self._search.observe(seconds)
            case DocumentDone(outcome=outcome, chunks=chunks):
                self._documents.labels(outcome).inc()
                self._chunks.inc(chunks)
            case UpstreamCalled(service=service, operation=operation, outcome=outcome):
                self._calls.labels(service, operation, outcome).observe(event.seconds)
            case UpstreamRetried(service=service, slug=slug):
                self._retries.labels(service, slug).inc()
            case WorkerRestarted():
                self._restarts.inc()

    def served(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record one HTTP request; `route` is the path template, never the path itself."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def render(self) -> bytes:
        """Return the page that Prometheus reads, in its text format."""
        return generate_latest(self.registry)
