"""Metrics under TEI's names, and our own counters for proofs. One registry per server.

TEI's counters carry no suffix `_total`, which prometheus_client adds to every counter; so they are
kept here and written by a collector.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Literal, TypeAlias

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from gateway.modelserver.batching import Pass
from gateway.modelserver.contract import FailureCause
from gateway.modelserver.replies import Cost

CONTENT_TYPE: Final = "text/plain; charset=utf-8"
Method: TypeAlias = Literal["single", "batch"]
Kind: TypeAlias = Literal["embed", "predict"]

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LENGTHS: Final = (1, 4, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_COUNTERS: Final = {
    "te_request_count": "Requests",
    "te_request_success": "Requests answered",
    "te_request_failure": "Requests refused or failed",
    "te_embed_count": "Inputs to embed",
    "te_embed_success": "Inputs embedded",
    "te_predict_count": "Pairs to score",
    "te_predict_success": "Pairs scored",
}
_Labels: TypeAlias = tuple[tuple[str, str], ...]


class Metrics:
    """What `/metrics` shows."""

    def __init__(self, queue_size: Callable[[], int], proofs: Callable[[], Mapping[str, int]]):
        """`queue_size` and `proofs`, counters by name, are asked at each scrape."""
        self.registry: Final = CollectorRegistry()
        self._counts: Final[Counter[tuple[str, _Labels]]] = Counter()
        self._durations: Final = {
            name: self._histogram(f"te_{name}", _SECONDS)
            for kind in ("request", "embed", "predict")
            for name in (
                f"{kind}_duration",
                *(f"{kind}_{part}_duration" for part in ("tokenization", "queue", "inference")),
            )
        }
        self._length: Final = self._histogram("te_request_input_length", _LENGTHS)
        self._batch_size: Final = self._histogram("te_batch_next_size", _LENGTHS)
        self._batch_tokens: Final = self._histogram("te_batch_next_tokens", _LENGTHS)
        queued = Gauge("te_queue_size", "Inputs that wait", registry=self.registry)
        queued.set_function(queue_size)
        self.registry.register(_Counts(self._counts))
        self.registry.register(_Proofs(proofs))

    def requested(self, method: Method) -> None:
        self._counts["te_request_count", (("method", method),)] += 1

    def failed(self, cause: FailureCause) -> None:
        self._counts["te_request_failure", (("err", cause),)] += 1

    def began(self, kind: Kind, inputs: int) -> None:
        self._counts[f"te_{kind}_count", ()] += inputs

    def read(self, tokens: int) -> None:
        self._length.observe(tokens)

    def passed(self, done: Pass) -> None:
        self._batch_size.observe(done.inputs)
        self._batch_tokens.observe(done.tokens)

    def succeeded(self, method: Method, kind: Kind, inputs: int, cost: Cost) -> None:
        self._counts["te_request_success", (("method", method),)] += 1
        self._counts[f"te_{kind}_success", ()] += inputs
        for name in ("request", kind):
            self._durations[f"{name}_duration"].observe(cost.total)
            self._durations[f"{name}_tokenization_duration"].observe(cost.tokenization)
            self._durations[f"{name}_queue_duration"].observe(cost.queue)
            self._durations[f"{name}_inference_duration"].observe(cost.inference)

    def render(self) -> bytes:
        return generate_latest(self.registry)

    def _histogram(self, name: str, buckets: tuple[float, ...]) -> Histogram:
        text = name.removeprefix("te_").replace("_", " ")
        return Histogram(name, text, buckets=buckets, registry=self.registry)


class _Counts:
    """TEI's counters as they are named there."""

    def __init__(self, counts: Counter[tuple[str, _Labels]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        for name, text in _COUNTERS.items():
            metric = Metric(name, text, "unknown")
            for (counted, labels), value in self._counts.items():
                if counted == name:
                    metric.add_sample(name, dict(labels), value)
            yield metric


class _Proofs:
    """Counters of this server alone, under the prefix `model_server_`."""

    def __init__(self, proofs: Callable[[], Mapping[str, int]]) -> None:
        self._proofs = proofs

    def collect(self) -> Iterator[Metric]:
        for name, value in self._proofs().items():
            metric = Metric(f"model_server_{name}", name.replace("_", " "), "counter")
            metric.add_sample(f"model_server_{name}_total", {}, value)
            yield metric
