"""Which run to take for a budget, and why."""

from collections.abc import Sequence
from typing import Final

from gateway.evaluation.results import PRIMARY, Recommendation, Run
from gateway.evaluation.statistics import compare

MAX_DROP: Final = 0.01
"""How much of the best nDCG@10 may be given up for fewer bytes unless it is said otherwise."""


def recommend(
    runs: Sequence[Run], *, max_drop: float | None = None, max_bytes_per_chunk: int | None = None
) -> Recommendation | None:
    """Recommend the run with the fewest bytes that is within `max_drop` of the best.

    Bytes are those that a search looks through: vectors, words, or both. With `max_bytes_per_chunk`
    only runs within it are taken, and where none of them is close to the best, the best of them.
    None: none fits.
    """
    within = [run for run in runs if _fits(run, max_bytes_per_chunk)]
    if not within:
        return None
    best = best_of(runs)
    drop = MAX_DROP if max_drop is None else max_drop
    close = [run for run in within if _quality(run) >= _quality(best) - drop]
    chosen = min(close, key=_cost) if close else best_of(within)
    return Recommendation(
        run=chosen.name,
        why=_why(chosen, best, drop, max_bytes_per_chunk, close=bool(close)),
        metric=PRIMARY,
        max_drop=drop,
        max_bytes_per_chunk=max_bytes_per_chunk,
        frontier=frontier(runs),
    )


def best_of(runs: Sequence[Run]) -> Run:
    """Return the run with the highest nDCG@10; of equals the one with the fewest bytes."""
    return max(runs, key=lambda run: (_quality(run), -run.index.searched_bytes))


def frontier(runs: Sequence[Run]) -> tuple[str, ...]:
    """Names of the runs that no other one beats: better at the same bytes, or as good with fewer."""
    kept: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.index.searched_bytes, -_quality(run))):
        if not kept or _quality(run) > _quality(kept[-1]):
            kept.append(run)
    return tuple(run.name for run in kept)


def _why(chosen: Run, best: Run, drop: float, budget: int | None, *, close: bool) -> str:
    figures = f"{PRIMARY} {_quality(chosen):.4f} with {chosen.index.searched_bytes} bytes a chunk"
    allowed = "" if budget is None else f" within {budget} bytes"
    if chosen is best:
        return f"{figures}: the best of all, and no run with fewer bytes{allowed} is within {drop:g} of it"
    test = compare(chosen, best, PRIMARY)
    against = (
        f"the best, {best.name}, has {_quality(best):.4f} with {best.index.searched_bytes} "
        f"(difference {test.difference:+.4f}, p = {test.p_value:.2g})"
    )
    if close:
        return f"{figures}, the fewest{allowed} within {drop:g} of the best; {against}"
    return f"{figures}, the best{allowed}, though not within {drop:g} of the best; {against}"


def _fits(run: Run, budget: int | None) -> bool:
    return budget is None or run.index.searched_bytes <= budget


def _quality(run: Run) -> float:
    return run.metrics[PRIMARY]


def _cost(run: Run) -> tuple[int, float]:
    return run.index.searched_bytes, -_quality(run)
