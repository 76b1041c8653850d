"""What cannot be evaluated, found before a model is loaded and before anything is indexed."""

from collections.abc import Iterator, Sequence

from gateway.domain.collections import Quantization, usual_coarse
from gateway.embedding.profile import ModelProfile
from gateway.errors import InvalidRequest
from gateway.evaluation.calibrating import CALIBRATED, LEAST_HITS
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.plan import EXACT, READ, Plan, needs_words, parse_stage
from gateway.evaluation.results import VARIANT, Facts
from gateway.settings import Settings


def require_possible(plan: Plan, profile: ModelProfile, *, reranks: bool) -> None:
    """Refuse a task or a stage that cannot be served; `reranks`: a reranker is configured.

    Raises:
        UnknownTask: the model has none such.
        InvalidRequest: a stage that reranks where nothing does.
    """
    profile.prompt(plan.task)
    for stage in plan.stages:
        if parse_stage(stage).rerank and not reranks:
            raise InvalidRequest(
                f"stage {stage!r} needs a reranker and none is configured: set rerank.urls "
                "(GATEWAY_RERANK__URLS) or rerank.kind=local, or leave the stage out"
            )


def require_used(plan: Plan, *, several: bool, gated: bool) -> None:
    """Refuse what nothing would heed: `several` runs to choose from, `gated` by a baseline.

    Raises:
        InvalidRequest: names the option and what it needs.
    """
    if plan.max_bytes_per_chunk is not None and not several:
        raise InvalidRequest(
            "--max-bytes-per-chunk is a budget to choose a run by, and there is no choice: add --sweep, "
            "--quantization, --variant or more than one --size, or leave it out"
        )
    if plan.max_drop is not None and not (several or gated):
        raise InvalidRequest(
            "--max-drop is held against a baseline or the best of a sweep, and there is neither: add "
            "--baseline or --sweep, or leave it out"
        )
    stages = [parse_stage(name) for name in plan.stages]
    if plan.lexical is not None and not needs_words(plan.stages):
        raise InvalidRequest(
            f"--language, --k1, --b and --average-words are nothing to {', '.join(plan.stages)}, which "
            "searches no words: add lexical or hybrid to --stages, or leave them out"
        )
    if (plan.sizes or plan.coarse or plan.indexed) and all(stage.by_words for stage in stages):
        raise InvalidRequest(
            f"--size, --coarse, --quantization and --sweep are nothing to {', '.join(plan.stages)}, "
            "which searches no vectors: add dense or hybrid to --stages, or leave them out"
        )


def sizes_of(plan: Plan, profile: ModelProfile, usual: int | None) -> Sequence[int | None]:
    """Return the sizes to index at; None is that of an existing collection.

    `usual` is the operator's size of new collections (None: the profile's). A sweep takes those that
    are longer than the first pass.

    Raises:
        UnsupportedSize: the model has none such.
        InvalidRequest: a first pass that is not shorter.
    """
    if plan.collection is not None:
        return (None,)
    sizes = [profile.require_size(size) for size in plan.sizes]
    if not sizes:
        sizes = list(profile.sizes) if plan.sweep else [usual or profile.default_size]
    if plan.coarse is None:
        return sizes
    coarse = profile.require_size(plan.coarse)
    longer = [size for size in sizes if size > coarse]
    if not longer or (len(longer) < len(sizes) and plan.sizes):
        raise InvalidRequest(
            f"--coarse {coarse} is not shorter than size {min(sizes)}: give a smaller one, or larger "
            "sizes"
        )
    return longer


def planned_runs(
    plan: Plan, sizes: Sequence[int | None], settings: Settings, variant: str
) -> Iterator[Facts]:
    """Yield what is known beforehand of each run to be; `sizes` are those of `sizes_of`.

    The form of an existing collection is not, nor whether a set is large enough for an index that
    quantises it, unless every set is indexed.
    """
    for stage in plan.stages:
        facts: Facts = {"stage": stage, VARIANT: variant or None}
        parsed = parse_stage(stage)
        if parsed.by_words:
            yield facts
            continue
        exact: Facts = {"quantization": "none", "coarse": None} if parsed.base == EXACT else {}
        for size in sizes:
            if size is None:
                yield {**facts, **exact}
                continue
            coarse = {"coarse": plan.coarse or usual_coarse(settings.collections.coarse, size)}
            for kind in _kinds(plan, indexes=settings.store_kind != "memory"):
                yield {**facts, "size": size, **kind, **coarse, **exact}


def _kinds(plan: Plan, *, indexes: bool) -> list[Facts]:
    """Quantisations as far as they are known; a store that never `indexes` searches full vectors."""
    if not indexes:
        return [{"quantization": Quantization.NONE.value}]
    return [{"quantization": kind.value} for kind in plan.kinds] if plan.indexed else [{}]


def require_enough(plan: Plan, golden: GoldenSet) -> None:
    """Refuse to calibrate what cannot be, however well the searches do.

    Raises:
        InvalidRequest: no stage with scores that are calibrated, or too few queries.
    """
    if not plan.calibrate:
        return
    if CALIBRATED.isdisjoint(plan.stages):
        raise InvalidRequest(
            f"--calibrate has nothing to do with {', '.join(plan.stages)}: give a stage of "
            f"{', '.join(sorted(CALIBRATED))}",
            field="calibrate",
        )
    if len(golden.queries) * READ < LEAST_HITS:
        raise InvalidRequest(
            f"{len(golden.queries)} queries with {READ} hits each are too few to calibrate: it takes "
            f"{LEAST_HITS} hits; judge more queries (gateway golden new)",
            field="calibrate",
        )
