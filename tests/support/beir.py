"""Labelled retrieval sets in BEIR layout, kept beside the project, and the measure of a run."""

from pathlib import Path
from typing import Any

import ir_measures
import pytest

from gateway.bootstrap import Runtime
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.measures import means, measure
from gateway.evaluation.results import PRIMARY, Ranked
from gateway.ingest.report import IngestReport
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.query import Group

NDCG = ir_measures.nDCG @ 10
SETS = Path(__file__).parents[3] / "shared" / "data"


def set_folder(name: str) -> Path:
    """Return the folder of a set, or skip where the sets are not at hand."""
    folder = SETS / name
    if not (folder / "corpus.jsonl").is_file():
        pytest.skip(f"the retrieval set {name!r} is not beside the project")
    return folder


def golden_set(name: str) -> GoldenSet:
    """Return a set, or skip where the sets are not at hand."""
    return GoldenSet.load(set_folder(name))


async def ingest(runtime: Runtime, golden: GoldenSet, collection: str) -> IngestReport:
    spec = await runtime.collections.create(collection)
    return await runtime.ingestor.ingest(spec, golden.corpus())


async def ndcg_at_10(
    runtime: Runtime, golden: GoldenSet, collection: str, most: int | None = None
) -> float:
    """Mean nDCG@10 over the first queries, documents ranked by their best chunk."""
    part, options = golden.first(most), SearchOptions(limit=10, group=Group())
    rankings: dict[str, list[Ranked]] = {}
    for query, text in part.queries.items():
        hits = (await runtime.retriever.search(collection, text, options)).hits
        rankings[query] = [Ranked(hit.chunk.document_id, hit.score) for hit in hits]
    return means(measure(part.qrels, rankings, [PRIMARY]), [PRIMARY])[PRIMARY]


def mean_ndcg(qrels: list[ir_measures.Qrel], run: list[ir_measures.ScoredDoc]) -> float:
    """Mean nDCG@10 of a run."""
    found: dict[Any, float] = ir_measures.calc_aggregate([NDCG], qrels, run)  # pyright: ignore[reportUnknownMemberType]
    return found[NDCG]
