"""Golden sets written to disk, and a runtime over fakes to evaluate them with."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.bootstrap import Runtime, join
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import ModelProfile
from gateway.encoders.fake import FakeEncoder
from gateway.evaluation.results import (
    Configuration,
    Dataset,
    Index,
    Interval,
    Latency,
    QueryResult,
    Ranked,
    Report,
    Run,
)
from gateway.observability.metrics import Metrics
from gateway.ports import Encoder
from gateway.settings import load_settings
from gateway.vectorstores.memory import MemoryStore

DOCUMENTS = {
    "otters": "Otters sleep on their backs and hold hands so that they do not drift apart.",
    "bees": "Honey bees dance to tell the hive where the flowers are.",
    "tides": "Tides follow the moon, and twice a day the water comes and goes.",
    "bread": "Sourdough bread rises by wild yeast that lives in flour.",
    "clocks": "Pendulum clocks lose a few seconds a day when the room is warm.",
    "silence": "",
}
QUERIES = {
    "q1": "why do otters hold hands",
    "q2": "how bees tell where flowers are",
    "q3": "what makes bread rise",
    "q4": "nobody judged this one",
}
QRELS = [("q1", "otters", "2"), ("q1", "bees", "0"), ("q2", "bees", "1"), ("q3", "bread", "1")]


def write_set(
    folder: Path,
    *,
    documents: Mapping[str, str] | None = None,
    queries: Mapping[str, str] | None = None,
    qrels: Iterable[tuple[str, ...]] = QRELS,
    spans: Sequence[Mapping[str, Any]] = (),
    split: str = "test",
) -> Path:
    """Write a golden set in the BEIR layout; the little one above by default."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    texts = DOCUMENTS if documents is None else documents
    write_lines(folder / "corpus.jsonl", ({"_id": k, "text": t} for k, t in texts.items()))
    asked = QUERIES if queries is None else queries
    write_lines(folder / "queries.jsonl", ({"_id": k, "text": t} for k, t in asked.items()))
    rows = ["query-id\tcorpus-id\tscore", *("\t".join(row) for row in qrels)]
    (folder / "qrels" / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    if spans:
        write_lines(folder / "spans.jsonl", spans)
    return folder


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def fake_runtime(
    encoder: Encoder | None = None,
    profile: ModelProfile = EMBEDDING_GEMMA_300M,
    **settings: Any,
) -> Runtime:
    """A runtime over made-up vectors and a store in memory."""
    found = load_settings({"encoder": "fake", "store": "memory", **settings}, environ={})
    size = profile.full_size
    embedder = Embedder(profile, encoder or FakeEncoder(size=size, max_tokens=profile.max_tokens))
    return join(found, embedder, MemoryStore(), metrics=Metrics())


def ranking(*documents: str, scores: Sequence[float] = ()) -> tuple[Ranked, ...]:
    """Documents in order, with falling scores unless others are given."""
    given = scores or [1.0 - place / 100 for place in range(len(documents))]
    return tuple(Ranked(name, score) for name, score in zip(documents, given, strict=True))


def made_run(
    name: str = "dense",
    values: Mapping[str, float] | None = None,
    *,
    size: int = 768,
    searched: int = 3072,
    quantization: str = "none",
) -> Run:
    """A run whose only measure, nDCG@10, has these values by query."""
    found = {"q1": 1.0, "q2": 0.5} if values is None else dict(values)
    mean = sum(found.values()) / len(found)
    return Run(
        configuration=Configuration(
            name, name.split(" ", maxsplit=1)[0], "m", "m:1", size, quantization
        ),
        metrics={"ndcg@10": mean},
        intervals={"ndcg@10": Interval(mean - 0.1, mean + 0.1)},
        queries=tuple(
            QueryResult(query, {"ndcg@10": value}, ranking("otters", "bees"), 0.002)
            for query, value in found.items()
        ),
        latency=Latency(2.0, 3.0),
        index=Index(5, 7, 100, searched, searched * 2),
        query_tokens=20,
    )


def made_report(*runs: Run, sha256: str = "ab" * 32) -> Report:
    """A report of these runs over a set of two queries."""
    dataset = Dataset("little", "test", sha256, 2, 3, True, 1, 0, 6, 1, 0)
    return Report(dataset, runs or (made_run(),), depth=100)
