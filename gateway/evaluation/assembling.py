"""The runs of an evaluation side by side: compared, one recommended, with what must be told beside."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.plan import Plan
from gateway.evaluation.recommend import best_of, recommend
from gateway.evaluation.results import (
    PRIMARY,
    Comparison,
    Dataset,
    Published,
    Report,
    Run,
)
from gateway.evaluation.statistics import compare
from gateway.evaluation.told import over_budget, warnings_of
from gateway.observability.versions import own_versions, package_versions

COMPARED: Final = (PRIMARY, "recall@100")
_LIBRARIES: Final = ("ir-measures", "pytrec-eval-terrier", "qdrant-edge-py", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Part:
    """The runs of one runtime: what it told, what its searches warned of, its card's figures."""

    runs: tuple[Run, ...]
    told: tuple[str, ...]
    warned: Counter[str]
    published: tuple[Published, ...]


def report_of(
    golden: GoldenSet, plan: Plan, parts: Sequence[Part], *, seconds: float = 0.0
) -> Report:
    """Put the runs of all parts side by side: compare them, and recommend one where there is choice."""
    runs = tuple(run for part in parts for run in part.runs)
    several = plan.several or len(parts) > 1
    budget = plan.max_bytes_per_chunk
    advice = recommend(runs, max_drop=plan.max_drop, max_bytes_per_chunk=budget)
    told = [] if budget is None or advice is not None else [over_budget(runs, budget)]
    return Report(
        dataset=dataset_of(golden),
        runs=runs,
        depth=plan.depth,
        comparisons=_comparisons(runs, neighbours=not several),
        recommendation=advice if several else None,
        published=tuple(dict.fromkeys(each for part in parts for each in part.published)),
        warnings=warnings_of(
            golden,
            sum((part.warned for part in parts), Counter[str]()),
            [*told, *(text for part in parts for text in part.told)],
        ),
        versions={**own_versions(), **package_versions(_LIBRARIES)},
        seconds=seconds,
    )


def _comparisons(runs: Sequence[Run], *, neighbours: bool) -> tuple[Comparison, ...]:
    """The best run against every other; with `neighbours` each against the one before as well."""
    best = best_of(runs)
    pairs = {frozenset((best.name, run.name)): (best, run) for run in runs if run is not best}
    if neighbours:
        pairs |= {frozenset((a.name, b.name)): (b, a) for a, b in pairwise(runs)}
    return tuple(
        compare(run, against, metric)
        for run, against in pairs.values()
        for metric in COMPARED
        if metric in run.metrics
    )


def dataset_of(golden: GoldenSet) -> Dataset:
    """Return the facts of a golden set."""
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
