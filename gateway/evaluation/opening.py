"""An evaluation from settings and paths: what opens what, and in which order things are refused."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from gateway.bootstrap import Runtime, open_runtime
from gateway.evaluation.evaluate import evaluate
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.measures import require_library
from gateway.evaluation.plan import Plan, Progress
from gateway.evaluation.results import Report
from gateway.evaluation.scratch import cached, scratch_runtime
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class Asked:
    """Which golden set to measure, and how much of it."""

    where: Path
    split: str | None = None
    queries: int | None = None


async def evaluate_configured(
    settings: Settings, asked: Asked, plan: Plan, *, cache: Path, progress: Progress
) -> Report:
    """Read a golden set and evaluate it with the configured model.

    Raises:
        MissingExtra, InvalidGoldenSet: before any model is loaded.
        Whatever `evaluate` raises.
    """
    require_library()
    golden = GoldenSet.load(asked.where, split=asked.split).first(asked.queries)
    async with _runtime(settings, plan, cache) as runtime:
        return await evaluate(runtime, golden, plan, progress)


def _runtime(settings: Settings, plan: Plan, cache: Path) -> AbstractAsyncContextManager[Runtime]:
    """The user's own store for a collection of theirs, else a scratch one."""
    if plan.collection is not None:
        return open_runtime(cached(settings, cache))
    return scratch_runtime(settings, cache, indexed=plan.indexed)
