"""What a reader must know beside the figures."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.plan import Plan, parse_stage
from gateway.evaluation.results import PRIMARY, Configuration, Dataset, Index, Run
from gateway.evaluation.statistics import compare
from gateway.retrieval.query import Mode

FEW: Final = 50
"""Fewer queries than this make wide intervals."""
_NUMBERED: Final = 5
_GROUPED: Final = 4
_CHANCE: Final = 0.05


def warnings_of(
    golden: GoldenSet, searched: Counter[str], problems: Iterable[str]
) -> tuple[str, ...]:
    """Gather what the set, the indexing and the searches warned of, each once."""
    told = list(dict.fromkeys(problems))
    queries = len(golden.queries)
    if golden.unjudged:
        some = counted(len(golden.unjudged), "query has", "queries have")
        told.append(f"{some} no judgment: left out of every mean")
    if golden.hopeless:
        some = counted(len(golden.hopeless), "judged query has", "judged queries have")
        told.append(f"{some} no relevant document: left out of every mean")
    if again := repeated_queries(golden):
        told.append(again)
    if golden.empty:
        some = counted(golden.empty, "document has", "documents have")
        told.append(f"{some} no text, and can never be found")
    if queries < FEW:
        some = counted(queries, "query is", "queries are")
        told.append(f"{some} few: look at the intervals before the means")
    told += [f"{count} of {queries} queries: {text}" for text, count in _summed(searched)]
    return tuple(told)


def repeated_queries(golden: GoldenSet) -> str:
    """Say so where queries ask the same, whose documents are judged apart; empty where none do."""
    if not golden.repeated:
        return ""
    some = counted(len(golden.repeated), "query asks", "queries ask")
    return (
        f"{some} what an earlier one asks, such as {golden.repeated[0]!r}: what answers one of them counts "
        "as wrong for the other, unless both judge it; make one of them, with all its documents"
    )


def extent(data: Dataset) -> str:
    """Say how large a set is; one without a corpus of its own has no documents."""
    documents = "" if data.documents is None else f", {data.documents} documents"
    grades = "graded" if data.graded else "binary"
    return f"{data.queries} queries, {data.judgments} {grades} judgments{documents}"


def counted(number: int, one: str, many: str) -> str:
    """Return a number with the words for so many."""
    return f"{number} {one if number == 1 else many}"


def unlike_users(plan: Plan, *, reranks: bool) -> list[str]:
    """Say so where what is calibrated is not what a search does by default."""
    if not (plan.calibrate and reranks) or any(parse_stage(name).rerank for name in plan.stages):
        return []
    return [
        "a reranker is configured, so searches rerank unless told otherwise, and their scores were "
        "not calibrated: add stages like hybrid+rerank"
    ]


def not_kept(plan: Plan) -> list[str]:
    """Say so where calibrations are made for no collection."""
    if not plan.calibrate or plan.collection is not None:
        return []
    return [
        "the calibrations are reported and not kept, as they are of no collection of yours: give "
        "--collection to keep them with one"
    ]


def left_out(plan: Plan, sizes: Sequence[int], taken: Sequence[int | None]) -> list[str]:
    """Say so where a sweep leaves out sizes of the model because of the first pass."""
    short = [str(size) for size in sizes if plan.coarse is not None and size not in taken]
    if plan.collection is not None or plan.sizes or not plan.sweep or not short:
        return []
    return [
        f"--coarse {plan.coarse} is looked through before longer vectors, so the sweep left out size "
        f"{', '.join(short)}: measure that without --coarse"
    ]


def over_budget(runs: Sequence[Run], budget: int) -> str:
    """Say that no run is within a budget of bytes, and how much it would take."""
    least = min(runs, key=lambda run: run.index.searched_bytes)
    return (
        f"nothing is recommended: no run looks through {budget} bytes a chunk or fewer; the smallest, "
        f"{least.name}, takes --max-bytes-per-chunk {least.index.searched_bytes}"
    )


def hidden_by_depth(plan: Plan, configuration: Configuration, index: Index) -> list[str]:
    """Say so where a search scores so much of the set again that quantising it can lose nothing.

    Grouping by document asks for four chunks per document wanted, twice as many are scored again.
    """
    rescored = min(index.chunks, plan.depth * _GROUPED * 2)
    if configuration.quantization == "none" or rescored * 2 <= index.chunks:
        return []
    return [
        f"{rescored} of {index.chunks} chunks are scored again by their full vectors in each search, "
        "which hides what quantisation loses: measure --top 10, or a larger set"
    ]


def worse_together(runs: Sequence[Run]) -> list[str]:
    """Say so where one half alone ranks better than hybrid search of the same form, beyond chance."""
    found = {run.configuration.key: run for run in runs}
    hybrid = [run for run in runs if parse_stage(run.configuration.stage).base == Mode.HYBRID]
    told: list[str] = []
    for mode in (Mode.DENSE, Mode.LEXICAL):
        pairs = [(found.get(_half(run.configuration, mode).key), run) for run in hybrid]
        tests = [compare(half, run, PRIMARY) for half, run in pairs if half is not None]
        beaten = [test for test in tests if test.difference > 0 and test.p_value < _CHANCE]
        if beaten:
            worst = max(beaten, key=lambda test: test.difference)
            more = f" and {len(beaten) - 1} more" if len(beaten) > 1 else ""
            told.append(
                f"{mode.value} search alone ranks better than {worst.against}{more} ({PRIMARY} "
                f"{worst.difference:+.4f}, p = {worst.p_value:.2g}): search by mode {mode.value}, or "
                "mend the other half"
            )
    return told


def _half(hybrid: Configuration, mode: Mode) -> Configuration:
    """Return the configuration that searches by one mode and is like a hybrid one otherwise."""
    _, plus, more = hybrid.stage.partition("+")
    return replace(hybrid, stage=mode.value + plus + more)


def _summed(searched: Counter[str]) -> list[tuple[str, int]]:
    """The most frequent warnings of searches; those that name figures of one query are many."""
    common = searched.most_common(_NUMBERED)
    rest = sum(searched.values()) - sum(count for _, count in common)
    return [*common, *([("other warnings", rest)] if rest else [])]
