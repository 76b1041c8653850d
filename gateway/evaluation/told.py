"""What a reader must know beside the figures."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from gateway.evaluation.golden import GoldenSet

FEW: Final = 50
"""Fewer queries than this make wide intervals."""
_NUMBERED: Final = 5


def warnings_of(
    golden: GoldenSet, searched: Counter[str], problems: Iterable[str]
) -> tuple[str, ...]:
    """Gather what the set, the indexing and the searches warned of, each once."""
    told = list(dict.fromkeys(problems))
    queries = len(golden.queries)
    if golden.unjudged:
        told.append(f"{len(golden.unjudged)} queries have no judgment: left out of every mean")
    if golden.hopeless:
        told.append(
            f"{len(golden.hopeless)} judged queries have no relevant document: left out of every mean"
        )
    if golden.empty:
        told.append(f"{golden.empty} documents have no text: they can never be found")
    if queries < FEW:
        told.append(f"{queries} queries are few: look at the intervals before the means")
    told += [f"{count} of {queries} queries: {text}" for text, count in _summed(searched)]
    return tuple(told)


def _summed(searched: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent warnings of searches; those that name figures of one query are many."""
    common = searched.most_common(_NUMBERED)
    rest = sum(searched.values()) - sum(count for _, count in common)
    return [*common, *([("other warnings", rest)] if rest else [])]
