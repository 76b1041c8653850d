"""Measures of rankings, by `ir-measures` over `pytrec_eval`: trec_eval's own code.

nDCG has trec_eval's linear gain: a grade of 2 is worth twice a grade of 1 (others use 2^grade - 1;
for binary judgments they agree). Unjudged documents count as not relevant. Means are over the
measured queries; one without any hit counts as 0.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from gateway.errors import InvalidRequest, MissingExtra
from gateway.evaluation.qrels import Grades
from gateway.evaluation.results import Ranked

MEASURES: Final = (
    *("ndcg@10", "recall@1", "recall@5", "recall@10", "recall@100", "mrr@10", "map"),
    *("success@1", "success@5", "success@10"),
)
"""What is measured unless it is said otherwise. `map` goes as deep as the rankings do."""

_NAME: Final = re.compile(r"(ndcg|recall|mrr|map|success)(?:@([1-9][0-9]{0,3}))?")


def require_measure(name: str) -> str:
    """Return a name of a measure: ndcg, recall, mrr, success with a cutoff, or map.

    Raises:
        InvalidRequest: it is none.
    """
    found = _NAME.fullmatch(name)
    if found is None or (found[2] is None) != (found[1] == "map"):
        raise InvalidRequest(
            f"{name!r} is no measure; take ndcg@10, recall@100, mrr@10, success@5 (any cutoff) or map"
        )
    return name


def measures_within(depth: int) -> tuple[str, ...]:
    """Return the usual measures that rankings of so many documents can tell."""
    return tuple(name for name in MEASURES if int(name.partition("@")[2] or 0) <= depth)


def measure(
    qrels: Grades,
    rankings: Mapping[str, Sequence[Ranked]],
    names: Sequence[str] = MEASURES,
) -> dict[str, dict[str, float]]:
    """Return every measure of every judged query, by query id, then by name.

    The order of a ranking counts, not its scores: ties are as the search broke them.

    Raises:
        MissingExtra: the extra `eval` is not installed.
        InvalidRequest: an unknown name.
    """
    measures = {_measure(require_measure(name)): name for name in names}
    found: dict[str, dict[str, float]] = {query: dict.fromkeys(names, 0.0) for query in qrels}
    library = require_library()
    judged = {query: dict(row) for query, row in qrels.items()}
    run = {
        query: dict(zip(ids, falling([hit.score for hit in ranking]), strict=True))
        for query, ranking in rankings.items()
        if query in judged and (ids := [hit.document_id for hit in ranking])
    }
    if not run:
        return found
    for value in library.iter_calc(list(measures), judged, run):
        found[value.query_id][measures[value.measure]] = float(value.value)
    return found


def means(values: Mapping[str, Mapping[str, float]], names: Iterable[str]) -> dict[str, float]:
    """Mean of each measure over the queries."""
    rows = list(values.values())
    return {name: float(np.mean([row[name] for row in rows])) for name in names}


def falling(scores: Sequence[float]) -> list[float]:
    """Return scores that fall strictly in float32, changed as little as that takes.

    trec_eval sorts by float32 scores and breaks ties by document id: with these it keeps the order.
    """
    kept: list[float] = []
    last = np.float32(np.inf)
    for score in scores:
        last = min(np.float32(score), np.nextafter(last, np.float32(-np.inf)))
        kept.append(float(last))
    return kept


def _measure(name: str) -> Any:
    library = require_library()
    kind, _, cutoff = name.partition("@")
    kinds: dict[str, Callable[[], Any]] = {
        "ndcg": lambda: library.nDCG @ int(cutoff),
        "recall": lambda: library.R @ int(cutoff),
        "mrr": lambda: library.RR @ int(cutoff),
        "map": lambda: library.AP,
        "success": lambda: library.Success @ int(cutoff),
    }
    return kinds[kind]()


def require_library() -> Any:
    """Return the module `ir_measures`.

    Raises:
        MissingExtra: it or `pytrec_eval` is not installed.
    """
    try:
        import ir_measures  # noqa: PLC0415
        import pytrec_eval  # noqa: F401, PLC0415  # pyright: ignore[reportUnusedImport]
    except ImportError as exc:
        raise MissingExtra("the measuring of rankings (ir-measures, pytrec-eval)", "eval") from exc
    return ir_measures
