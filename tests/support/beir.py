"""Labelled retrieval sets in BEIR layout, kept beside the project, and the measure of a run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ir_measures
import pytest

from gateway.bootstrap import Runtime
from gateway.ingest.readers import Source
from gateway.ingest.report import IngestReport
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.query import Group, Mode

NDCG = ir_measures.nDCG @ 10
SETS = Path(__file__).parents[3] / "shared" / "data"


@dataclass(frozen=True)
class GoldenSet:
    """A folder with corpus.jsonl, queries.jsonl and qrels/test.tsv."""

    folder: Path

    def queries(self, most: int | None = None) -> dict[str, str]:
        """Texts of the judged queries by id, the first `most` of them."""
        judged = {qrel.query_id for qrel in self.qrels()}
        lines = (self.folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        texts = {str(row["_id"]): str(row["text"]) for row in map(json.loads, lines)}
        return dict([item for item in texts.items() if item[0] in judged][:most])

    def qrels(self) -> list[ir_measures.Qrel]:
        lines = (self.folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]
        rows = (line.split("\t") for line in lines)
        return [ir_measures.Qrel(query, document, int(gain)) for query, document, gain in rows]


def golden_set(name: str) -> GoldenSet:
    """Return a set, or skip where the sets are not at hand."""
    folder = SETS / name
    if not (folder / "corpus.jsonl").is_file():
        pytest.skip(f"the retrieval set {name!r} is not beside the project")
    return GoldenSet(folder)


async def ingest(runtime: Runtime, golden: GoldenSet, collection: str) -> IngestReport:
    spec = await runtime.collections.create(collection)
    return await runtime.ingestor.ingest(spec, Source([golden.folder / "corpus.jsonl"]))


async def ndcg_at_10(
    runtime: Runtime, golden: GoldenSet, collection: str, most: int | None = None
) -> float:
    """Mean nDCG@10 (trec_eval's) of dense search, documents ranked by their best chunk."""
    queries = golden.queries(most)
    options = SearchOptions(mode=Mode.DENSE, limit=10, group=Group())
    run: list[ir_measures.ScoredDoc] = []
    for query_id, text in queries.items():
        for hit in (await runtime.retriever.search(collection, text, options)).hits:
            run.append(ir_measures.ScoredDoc(query_id, hit.chunk.document_id, hit.score))
    qrels = [qrel for qrel in golden.qrels() if qrel.query_id in queries]
    return mean_ndcg(qrels, run)


def mean_ndcg(qrels: list[ir_measures.Qrel], run: list[ir_measures.ScoredDoc]) -> float:
    """Mean nDCG@10 of a run."""
    means: dict[Any, float] = ir_measures.calc_aggregate([NDCG], qrels, run)  # pyright: ignore[reportUnknownMemberType]
    return means[NDCG]
