"""An evaluation from settings and paths: what opens what, and in which order things are refused."""

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from gateway.bootstrap import Runtime, open_runtime
from gateway.errors import GatewayError, InvalidRequest
from gateway.evaluation.assembling import Part, dataset_of, report_of
from gateway.evaluation.calibrating import calibrate, keep
from gateway.evaluation.checking import (
    planned_runs,
    require_enough,
    require_possible,
    require_used,
    sizes_of,
)
from gateway.evaluation.evaluate import evaluate_part
from gateway.evaluation.gate import Gate
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.measures import require_library
from gateway.evaluation.plan import Plan, Progress
from gateway.evaluation.results import Calibrated, Facts, Report
from gateway.evaluation.scratch import cached, scratch_runtime
from gateway.evaluation.written import require_writable
from gateway.settings import Settings
from gateway.wiring.consistency import require_consistent

NO_VARIANTS: Mapping[str, Settings] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Asked:
    """Which golden set to measure, and how much of it; what the report is for.

    `gate` and `folder` are what it will be held against and written into: both are looked at first.
    """

    where: Path
    split: str | None = None
    queries: int | None = None
    gate: Gate | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured, and what failed after some of it was: a variant, a calibration."""

    report: Report
    failures: tuple[GatewayError, ...] = ()


async def evaluate_configured(
    settings: Settings,
    asked: Asked,
    plan: Plan,
    *,
    cache: Path,
    progress: Progress,
    variants: Mapping[str, Settings] = NO_VARIANTS,
) -> Outcome:
    """Read a golden set and evaluate it with the configured model, then under each of `variants`.

    Once there are runs, an error loses none of them: it is one of the outcome's failures.

    Raises:
        MissingExtra, InvalidGoldenSet, InvalidRequest: before any model is loaded.
        Whatever `evaluate` raises, of the configured model.
    """
    forms = {"": settings, **variants}
    golden = _require_all(forms, asked, plan)
    started = time.perf_counter()
    parts: list[Part] = []
    failures: list[GatewayError] = []
    calibrations: tuple[Calibrated, ...] = ()
    for variant, form in forms.items():
        try:
            async with _runtime(form, plan, cache) as runtime:
                parts.append(await evaluate_part(runtime, golden, plan, progress, variant=variant))
                if plan.calibrate:
                    found = calibrate(parts[-1].runs)
                    calibrations += found
                    if plan.collection is not None:
                        await keep(runtime.store, plan.collection, found)
        except GatewayError as exc:
            if not parts:
                raise
            failures.append(exc)
    report = report_of(golden, plan, parts, seconds=time.perf_counter() - started)
    return Outcome(replace(report, calibrations=calibrations), tuple(failures))


def _require_all(forms: Mapping[str, Settings], asked: Asked, plan: Plan) -> GoldenSet:
    """Return the golden set when everything that can be known beforehand is as it must be."""
    require_library()
    if plan.collection is not None and len(forms) > 1:
        raise InvalidRequest(
            f"collection {plan.collection!r} is of one model: leave --variant out, or leave "
            "--collection out to index the set with each"
        )
    several = plan.several or len(forms) > 1
    require_used(plan, several=several, gated=asked.gate is not None)
    planned: list[Facts] = []
    for variant, settings in forms.items():
        profile = require_consistent(settings)
        require_possible(plan, profile, reranks=settings.rerank_kind != "none")
        planned += planned_runs(plan, sizes_of(plan, profile, settings.size), settings, variant)
    golden = GoldenSet.load(asked.where, split=asked.split).first(asked.queries)
    require_enough(plan, golden)
    if asked.gate is not None:
        asked.gate.require_planned(dataset_of(golden), plan.depth, planned)
    if asked.folder is not None:
        require_writable(asked.folder)
    return golden


def _runtime(settings: Settings, plan: Plan, cache: Path) -> AbstractAsyncContextManager[Runtime]:
    """The user's own store for a collection of theirs, else a scratch one."""
    if plan.collection is not None:
        return open_runtime(cached(settings, cache))
    return scratch_runtime(settings, cache, indexed=plan.indexed)
