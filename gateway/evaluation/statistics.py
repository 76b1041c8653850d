"""How far a figure can be trusted: bootstrap intervals, and a paired test between two runs.

Both are seeded: the same rankings give the same figures.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.evaluation.results import Comparison, Interval, Run

SEED: Final = 20_240
RESAMPLES: Final = 2_000
SWAPS: Final = 10_000
LEVEL: Final = 0.95
TIE: Final = 1e-9
"""Two values of a query closer than this are equal."""
_CELLS: Final = 4_000_000
"""Numbers held at once: rounds are done in blocks of so many."""

Values = NDArray[np.float64]


def intervals(
    values: Mapping[str, Mapping[str, float]], names: tuple[str, ...], *, seed: int = SEED
) -> dict[str, Interval]:
    """Percentile bootstrap over queries (Efron and Tibshirani, 1993) of the mean of each measure.

    `values` are measures by query id. Every measure sees the same resamples.
    """
    table = np.array([[row[name] for name in names] for row in values.values()])
    count = len(table)
    random = np.random.default_rng(seed)
    resampled: list[Values] = []
    for rounds in _blocks(RESAMPLES, count):
        drawn = random.integers(0, count, (rounds, count))
        weights = np.zeros((rounds, count))
        np.add.at(weights, (np.arange(rounds)[:, None], drawn), 1.0)
        resampled.append(weights @ table / count)
    means = np.concatenate(resampled)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail], axis=0)
    return {name: Interval(float(low[i]), float(high[i])) for i, name in enumerate(names)}


def compare(run: Run, against: Run, metric: str, *, seed: int = SEED) -> Comparison:
    """Compare two runs over the queries that both have."""
    ours, theirs = run.per_query(metric), against.per_query(metric)
    shared = [query for query in ours if query in theirs]
    differences = np.array([ours[query] - theirs[query] for query in shared], np.float64)
    wins = int((differences > TIE).sum())
    losses = int((differences < -TIE).sum())
    return Comparison(
        run=run.name,
        against=against.name,
        metric=metric,
        difference=float(differences.mean()) if shared else 0.0,
        p_value=p_value(differences, seed=seed),
        wins=wins,
        losses=losses,
        ties=len(shared) - wins - losses,
    )


def p_value(differences: Values, *, seed: int = SEED) -> float:
    """Two-sided p of a mean difference under random signs, from `SWAPS` rounds; 1 where all are equal.

    The observed signs count as one round, so it is never 0.
    """
    moving = differences[np.abs(differences) > TIE]
    if not moving.size:
        return 1.0
    observed = abs(moving.sum()) * (1 - 1e-12)
    random = np.random.default_rng(seed)
    extreme = 1
    for rounds in _blocks(SWAPS, moving.size):
        signs = random.integers(0, 2, (rounds, moving.size), dtype=np.int8) * 2.0 - 1.0
        extreme += int((np.abs(signs @ moving) >= observed).sum())
    return extreme / (SWAPS + 1)


def _blocks(rounds: int, width: int) -> list[int]:
    """Part rounds of `width` numbers into blocks that fit into memory."""
    most = max(1, _CELLS // max(1, width))
    return [min(most, rounds - start) for start in range(0, rounds, most)]
