"""From a golden set and a plan to a report: index, search at every stage, compare."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Final

from gateway.bootstrap import Runtime
from gateway.domain.collections import CollectionSpec
from gateway.domain.documents import chunk_id
from gateway.errors import InvalidGoldenSet, InvalidRequest
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.indexing import Indexed, ingest, ingest_whole
from gateway.evaluation.plan import Plan, Progress, needs_words, silent
from gateway.evaluation.recommend import recommend
from gateway.evaluation.results import (
    PRIMARY,
    Comparison,
    Configuration,
    Dataset,
    Index,
    Option,
    Published,
    Recommendation,
    Report,
    Run,
)
from gateway.evaluation.searching import Searcher
from gateway.evaluation.statistics import compare
from gateway.evaluation.told import warnings_of
from gateway.observability.versions import own_versions, package_versions

SCRATCH: Final = "evaluation"
COMPARED: Final = (PRIMARY, "recall@100")
_LIBRARIES: Final = ("ir-measures", "pytrec-eval-terrier", "qdrant-edge-py", "onnxruntime")
_FLOAT_BYTES: Final = 4


async def evaluate(
    runtime: Runtime, golden: GoldenSet, plan: Plan, progress: Progress = silent
) -> Report:
    """Run the plan. What it makes in the store it removes, whatever happens.

    Raises:
        InvalidGoldenSet: it is of another collection, or nothing of it could be indexed.
        InvalidRequest: a stage that the collection cannot serve.
        MissingExtra: the extra `eval` is not installed.
        UpstreamError: encoder or store failed.
    """
    started = time.perf_counter()
    searcher = Searcher(runtime, golden, plan, progress)
    runs: list[Run] = []
    told: list[str] = []
    for size in _sizes(runtime, plan):
        async with _collection(runtime, golden, plan, size, progress) as (spec, index, problems):
            told += problems
            await searcher.warm(spec.size)
            for stage in _stages(plan, runs):
                configuration = _configuration(runtime, plan, spec, stage)
                runs.append(await searcher.run(spec.name, configuration, index))
    return Report(
        dataset=_dataset(golden),
        runs=tuple(runs),
        depth=plan.depth,
        comparisons=_comparisons(runs),
        recommendation=_recommendation(runs, plan),
        published=_published(runtime),
        warnings=warnings_of(golden, searcher.warnings, told),
        versions={**own_versions(), **package_versions(_LIBRARIES)},
        seconds=time.perf_counter() - started,
    )


def _sizes(runtime: Runtime, plan: Plan) -> Sequence[int | None]:
    if plan.collection is not None and (plan.sizes or plan.sweep):
        raise InvalidRequest(
            f"collection {plan.collection!r} has its own size; leave --size and --sweep out, or leave "
            "--collection out to index the set at any size"
        )
    profile = runtime.embedder.profile
    for size in plan.sizes:
        profile.require_size(size)
    return plan.sizes or (profile.sizes if plan.sweep else (None,))


def _stages(plan: Plan, runs: Sequence[Run]) -> list[str]:
    """Stages still to run: words are the same at every size, so they are searched once."""
    done = {run.configuration.stage for run in runs}
    return [stage for stage in plan.stages if stage != "lexical" or stage not in done]


@asynccontextmanager
async def _collection(
    runtime: Runtime, golden: GoldenSet, plan: Plan, size: int | None, progress: Progress
) -> AsyncGenerator[tuple[CollectionSpec, Index, list[str]], None]:
    """Open the collection of the plan, or index the corpus into one that is dropped at the end."""
    if plan.collection is not None:
        yield await _existing(runtime, golden, plan)
        return
    spec = runtime.collections.spec(SCRATCH, size=size, lexical=plan.lexical)
    try:
        how = ingest_whole if plan.whole else ingest
        made = await how(runtime, golden, spec, progress)
        yield spec, _index(spec, golden, made), _problems(made)
    finally:
        known = await runtime.collections.list()
        if any(info.spec.name == spec.name for info in known):
            await runtime.collections.drop(spec.name)


async def _existing(
    runtime: Runtime, golden: GoldenSet, plan: Plan
) -> tuple[CollectionSpec, Index, list[str]]:
    """Open a collection and see that the judged documents are in it.

    Raises:
        InvalidGoldenSet: none of the relevant documents is.
        InvalidRequest: a stage by words, and no words are indexed.
    """
    name = plan.collection or ""
    spec = await runtime.collections.open(name)
    if needs_words(plan.stages) and spec.lexical is None:
        raise InvalidRequest(
            f"collection {name!r} has no words indexed: give --stages dense, or ingest into a new "
            "collection"
        )
    relevant = {d for row in golden.qrels.values() for d, grade in row.items() if grade > 0}
    ids = [chunk_id(name, document, 0) for document in sorted(relevant)]
    found = 0
    for start in range(0, len(ids), 256):
        found += len(await runtime.store.get(name, ids[start : start + 256]))
    if not found:
        raise InvalidGoldenSet(
            f"golden set {golden.name!r} is of another collection: none of its {len(relevant)} "
            f"relevant documents is in {name!r}; give the collection that was judged, or leave "
            "--collection out to index the set's own corpus"
        )
    missing = len(relevant) - found
    problems = [
        f"{missing} of {len(relevant)} relevant documents are not in collection {name!r}: they count "
        "as not found"
    ]
    info = await runtime.collections.describe(name)
    documents = golden.documents or info.chunks
    index = Index(documents, info.chunks, 0, *_bytes(spec))
    return spec, index, problems if missing else []


def _index(spec: CollectionSpec, golden: GoldenSet, made: Indexed) -> Index:
    documents = (golden.documents or 0) - golden.empty - made.failures
    return Index(documents, made.chunks, made.tokens, *_bytes(spec), made.truncated_tokens)


def _bytes(spec: CollectionSpec) -> tuple[int, int]:
    """Vector bytes of a chunk that are looked through, and all that are stored."""
    short = 0 if spec.coarse is None else spec.coarse * _FLOAT_BYTES
    full = spec.size * _FLOAT_BYTES
    return short or full, full + short


def _problems(made: Indexed) -> list[str]:
    told: list[str] = []
    if made.failures:
        told.append(
            f"{made.failures} documents could not be indexed and count as not found; the first: "
            + "; ".join(made.failed)
        )
    if made.truncated:
        told.append(
            f"{made.truncated} documents were cut at the model's limit, as --whole allows: "
            f"{made.truncated_tokens} tokens were lost"
        )
    return told


def _configuration(runtime: Runtime, plan: Plan, spec: CollectionSpec, stage: str) -> Configuration:
    info, lexical = runtime.embedder.encoder.info, spec.lexical
    budget = runtime.ingestor.chunker.budget
    options: dict[str, Option] = {
        "task": plan.task,
        "encoder": info.kind,
        "dtype": info.quantization or info.dtype,
        "store": runtime.settings.store_kind,
        "chunks": "whole" if plan.whole else f"up to {budget} tokens",
        "language": None if lexical is None else lexical.language,
    }
    if plan.collection is not None:
        options |= {"collection": plan.collection, "chunks": None}
    several = (plan.sweep or len(plan.sizes) > 1) and stage != "lexical"
    return Configuration(
        name=f"{stage} {spec.size}" if several else stage,
        stage=stage,
        profile=spec.profile,
        space=spec.space,
        size=spec.size,
        coarse=spec.coarse,
        options=options,
    )


def _comparisons(runs: Sequence[Run]) -> tuple[Comparison, ...]:
    """Each run against the one before it, and the best against every other."""
    best = max(runs, key=lambda run: run.metrics[PRIMARY])
    pairs = {(run.name, before.name): (run, before) for before, run in pairwise(runs)}
    for run in runs:
        if run is not best and (run.name, best.name) not in pairs:
            pairs[best.name, run.name] = (best, run)
    return tuple(
        compare(run, against, metric) for run, against in pairs.values() for metric in COMPARED
    )


def _recommendation(runs: Sequence[Run], plan: Plan) -> Recommendation | None:
    if not plan.sweep and len(plan.sizes) < 2:
        return None
    return recommend(runs, max_drop=plan.max_drop, max_bytes_per_chunk=plan.max_bytes_per_chunk)


def _dataset(golden: GoldenSet) -> Dataset:
    return Dataset(
        name=golden.name,
        split=golden.split,
        sha256=golden.sha256,
        queries=len(golden.queries),
        judgments=golden.judgments,
        graded=golden.graded,
        unjudged=len(golden.unjudged),
        hopeless=len(golden.hopeless),
        documents=golden.documents,
        empty=golden.empty,
        spans=sum(map(len, golden.spans.values())),
    )


def _published(runtime: Runtime) -> tuple[Published, ...]:
    scores = runtime.embedder.profile.published
    return tuple(Published(score.benchmark, score.size, score.score) for score in scores)
