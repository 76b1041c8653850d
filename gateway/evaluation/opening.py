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
from gateway.evaluation.calibrating import Fitted, calibrate, keep, losses_of
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
    cache: Path | None,
    progress: Progress,
    variants: Mapping[str, Settings] = NO_VARIANTS,
) -> Outcome:
    """Read a golden set and evaluate it with the configured model, then under each of `variants`.

    Vectors are kept in the folder `cache`; None: in the cache that is set, else under `data_dir`.
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
                    fitted = await _calibrated(runtime, plan, parts[-1])
                    calibrations += fitted.found
                    failures += fitted.failures
        except GatewayError as exc:
            if not parts:
                raise
            failures.append(_named(exc, variant))
    report = report_of(golden, plan, parts, seconds=time.perf_counter() - started)
    warnings = (*report.warnings, *losses_of(calibrations))
    report = replace(report, calibrations=calibrations, warnings=warnings)
    return Outcome(report, tuple(failures))


async def _calibrated(runtime: Runtime, plan: Plan, part: Part) -> Fitted:
    """Calibrate the runs of a part, and keep what could be with the plan's collection."""
    fitted = calibrate(part.runs)
    if plan.collection is None or not fitted.found:
        return fitted
    try:
        kept = await keep(runtime.store, plan.collection, fitted.found)
    except GatewayError as exc:
        return replace(fitted, failures=(*fitted.failures, exc))
    return replace(fitted, found=kept)


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
        try:
            profile = require_consistent(settings)
            require_possible(plan, profile, reranks=settings.rerank_kind != "none")
            sizes = sizes_of(plan, profile, settings.size)
            planned += planned_runs(plan, sizes, settings, variant)
        except GatewayError as exc:
            raise _named(exc, variant) from None
    golden = GoldenSet.load(asked.where, split=asked.split).first(asked.queries)
    require_enough(plan, golden)
    if asked.gate is not None:
        asked.gate.require_planned(dataset_of(golden), plan.depth, planned)
    if asked.folder is not None:
        require_writable(asked.folder)
    return golden


def _named(error: GatewayError, variant: str) -> GatewayError:
    """Return an error whose message begins with the variant that it is of, if it is of one."""
    if variant:
        error.args = (f"--variant {variant}: {error}", *error.args[1:])
    return error


def _runtime(
    settings: Settings, plan: Plan, cache: Path | None
) -> AbstractAsyncContextManager[Runtime]:
    """The user's own store for a collection of theirs, else a scratch one."""
    if plan.collection is not None:
        return open_runtime(cached(settings, cache))
    return scratch_runtime(settings, cache, indexed=plan.indexed)
