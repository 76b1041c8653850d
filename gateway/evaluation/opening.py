"""An evaluation from settings and paths: what opens what, and in which order things are refused."""

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from gateway.bootstrap import Runtime, open_runtime
from gateway.errors import InvalidRequest
from gateway.evaluation.assembling import Part, report_of
from gateway.evaluation.calibrating import calibrate, keep
from gateway.evaluation.evaluate import evaluate_part
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.measures import require_library
from gateway.evaluation.plan import Plan, Progress
from gateway.evaluation.results import Calibrated, Report
from gateway.evaluation.scratch import cached, scratch_runtime
from gateway.settings import Settings

NO_VARIANTS: Mapping[str, Settings] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Asked:
    """Which golden set to measure, and how much of it."""

    where: Path
    split: str | None = None
    queries: int | None = None


async def evaluate_configured(
    settings: Settings,
    asked: Asked,
    plan: Plan,
    *,
    cache: Path,
    progress: Progress,
    variants: Mapping[str, Settings] = NO_VARIANTS,
) -> Report:
    """Read a golden set and evaluate it with the configured model, then under each of `variants`.

    Raises:
        MissingExtra, InvalidGoldenSet, InvalidRequest: before any model is loaded.
        Whatever `evaluate` raises.
    """
    require_library()
    if plan.collection is not None and variants:
        raise InvalidRequest(
            f"collection {plan.collection!r} is of one model: leave --variant out, or leave "
            "--collection out to index the set with each"
        )
    golden = GoldenSet.load(asked.where, split=asked.split).first(asked.queries)
    started = time.perf_counter()
    parts: list[Part] = []
    calibrations: tuple[Calibrated, ...] = ()
    for variant, found in {"": settings, **variants}.items():
        async with _runtime(found, plan, cache) as runtime:
            parts.append(await evaluate_part(runtime, golden, plan, progress, variant=variant))
            if plan.calibrate and not variant:
                calibrations = calibrate(parts[0].runs)
                if plan.collection is not None:
                    await keep(runtime.store, plan.collection, calibrations)
    report = report_of(golden, plan, parts, seconds=time.perf_counter() - started)
    return replace(report, calibrations=calibrations)


def _runtime(settings: Settings, plan: Plan, cache: Path) -> AbstractAsyncContextManager[Runtime]:
    """The user's own store for a collection of theirs, else a scratch one."""
    if plan.collection is not None:
        return open_runtime(cached(settings, cache))
    return scratch_runtime(settings, cache, indexed=plan.indexed)
