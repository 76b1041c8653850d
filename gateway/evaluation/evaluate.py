"""From a golden set and a plan to a report: index, search at every stage, compare."""

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, replace

from gateway.bootstrap import Runtime
from gateway.domain.collections import CollectionSpec, Quantization
from gateway.domain.footprint import FLOAT, footprint
from gateway.evaluation.assembling import Part, report_of
from gateway.evaluation.checking import require_possible, sizes_of
from gateway.evaluation.collection import searched_collection
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.plan import EXACT, Plan, Progress, parse_stage, silent
from gateway.evaluation.results import (
    VARIANT,
    Configuration,
    Option,
    Published,
    Report,
    Run,
)
from gateway.evaluation.searching import Searcher
from gateway.evaluation.told import (
    hidden_by_depth,
    left_out,
    not_kept,
    unlike_users,
    worse_together,
)
from gateway.evaluation.words import word_bytes
from gateway.retrieval.query import Mode


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
    part = await evaluate_part(runtime, golden, plan, progress)
    return report_of(golden, plan, [part], seconds=time.perf_counter() - started)


async def evaluate_part(
    runtime: Runtime, golden: GoldenSet, plan: Plan, progress: Progress, *, variant: str = ""
) -> Part:
    """Run the plan over one runtime, as `evaluate` does; `variant` marks its runs."""
    profile = runtime.embedder.profile
    require_possible(plan, profile, reranks=runtime.reranker is not None)
    searcher = Searcher(runtime, golden, plan, progress)
    runs: list[Run] = []
    sizes = sizes_of(plan, profile, runtime.settings.size)
    told = left_out(plan, profile.sizes, sizes)
    for size in sizes:
        async with searched_collection(runtime, golden, plan, size, progress) as found:
            spec, index, problems = found
            told += problems
            words = await word_bytes(runtime.store, spec)
            await searcher.warm(spec.size)
            async for tuned, indexed in _tuned(runtime, plan, spec):
                for stage in _stages(plan, spec.size, runs):
                    configuration = marked(
                        _configuration(runtime, plan, tuned, stage, indexed=indexed), variant
                    )
                    sized = replace(index, **_bytes(tuned, stage, words, indexed=indexed))
                    told += hidden_by_depth(plan, configuration, sized)
                    runs.append(await searcher.run(spec.name, configuration, sized))
    told += worse_together(runs)
    told += unlike_users(plan, reranks=runtime.reranker is not None) + not_kept(plan)
    return Part(tuple(runs), tuple(told), searcher.warnings, _published(runtime))


def marked(configuration: Configuration, variant: str) -> Configuration:
    """Return the configuration with the mark of its variant, if it is one."""
    if not variant:
        return configuration
    options = {**configuration.options, VARIANT: variant}
    return replace(configuration, name=f"{configuration.name} ({variant})", options=options)


async def _tuned(
    runtime: Runtime, plan: Plan, spec: CollectionSpec
) -> AsyncGenerator[tuple[CollectionSpec, bool], None]:
    """Yield the collection under each quantisation, and whether it has an index.

    Without an index every search is exact, whatever the quantisation: it is searched once.
    """
    if plan.collection is not None:
        info = await runtime.collections.describe(spec.name)
        yield spec, info.chunks >= runtime.settings.edge.index_from
        return
    for kind in plan.kinds:
        tuning = replace(spec.tuning, quantization=kind)
        tuned = await runtime.store.amend(replace(spec, tuning=tuning))
        indexed = await runtime.store.optimize(spec.name)
        yield tuned, indexed
        if not indexed:
            return


def _stages(plan: Plan, size: int, runs: Sequence[Run]) -> list[str]:
    """Stages still to run: words are searched once, and exactly once at a size."""
    known = [run.configuration for run in runs]
    bases = [(each.stage, parse_stage(each.stage).base, each.size) for each in known]
    done = {stage for stage, base, _ in bases if base == Mode.LEXICAL}
    done |= {stage for stage, base, at in bases if base == EXACT and at == size}
    return [stage for stage in plan.stages if stage not in done]


def _bytes(spec: CollectionSpec, stage: str, words: int, *, indexed: bool) -> dict[str, int]:
    """Bytes of a chunk that a stage looks through, and all that are stored; `words` are those of words."""
    found = footprint(spec, indexed=indexed)
    searched = {
        EXACT: FLOAT * spec.size,
        Mode.DENSE: found.searched,
        Mode.LEXICAL: words,
        Mode.HYBRID: found.searched + words,
    }
    return {
        "searched_bytes": searched[parse_stage(stage).base],
        "stored_bytes": found.total + words,
    }


def _configuration(
    runtime: Runtime, plan: Plan, spec: CollectionSpec, stage: str, *, indexed: bool
) -> Configuration:
    info, lexical = runtime.embedder.encoder.info, spec.lexical
    budget = runtime.ingestor.chunker.budget
    options: dict[str, Option] = {
        "task": plan.task,
        "encoder": info.kind,
        "dtype": info.quantization or info.dtype,
        "store": runtime.settings.store_kind,
        "chunks": "whole" if plan.whole else f"up to {budget} tokens",
        **({"language": None} if lexical is None else asdict(lexical)),
    }
    if plan.collection is not None:
        options |= {"collection": plan.collection, "chunks": None}
    if parse_stage(stage).rerank and runtime.reranker is not None:
        candidates = runtime.settings.rerank.candidates
        options |= {"reranker": runtime.reranker.info.scale, "rerank_candidates": candidates}
    base = parse_stage(stage).base
    plain = base == EXACT or not indexed
    kind = Quantization.NONE if plain else spec.tuning.quantization
    return Configuration(
        name=_name(plan, stage, spec.size, kind),
        stage=stage,
        profile=spec.profile,
        space=spec.space,
        size=spec.size,
        quantization=kind.value,
        coarse=None if base == EXACT else spec.coarse,
        options=options,
    )


def _name(plan: Plan, stage: str, size: int, kind: Quantization) -> str:
    """Name a run by what tells it from the others of its report."""
    base = parse_stage(stage).base
    if base == Mode.LEXICAL:
        return stage
    sized = [str(size)] if plan.sweep or len(plan.sizes) > 1 else []
    quantised = [kind.value] if plan.indexed and base != EXACT else []
    return " ".join([stage, *sized, *quantised])


def _published(runtime: Runtime) -> tuple[Published, ...]:
    profile = runtime.embedder.profile
    return tuple(
        Published(score.benchmark, score.size, score.score, profile.name)
        for score in profile.published
    )
