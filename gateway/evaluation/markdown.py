"""A report as Markdown: for a pull request, a wiki, a page of docs."""

from collections.abc import Sequence
from typing import Final

from gateway.evaluation.results import PRIMARY, Comparison, Report, Run
from gateway.evaluation.told import extent

SHOWN: Final = ("ndcg@10", "recall@10", "recall@100", "mrr@10", "map", "span_recall@10")


def markdown(report: Report) -> str:
    """Return the facts of the set, a table of runs, comparisons, the recommendation and warnings."""
    parts = [_head(report), _runs(report), _published(report), _comparisons(report.comparisons)]
    if report.recommendation is not None:
        advice = report.recommendation
        parts.append(f"**Recommended: {advice.run}.** {advice.why}.")
    if report.warnings:
        parts.append("\n".join(f"- Warning: {text}" for text in report.warnings))
    return "\n\n".join(part for part in parts if part) + "\n"


def columns(report: Report) -> list[str]:
    """Return the measures worth a column that some run has."""
    found = {name for run in report.runs for name in run.metrics}
    return [name for name in SHOWN if name in found]


def _head(report: Report) -> str:
    data = report.dataset
    run = report.runs[0].configuration
    return (
        f"# Evaluation of {_cell(data.name)} ({_cell(data.split)})\n\n"
        f"{extent(data)}; sha256 `{data.sha256[:12]}`. Model {run.profile}, space `{run.space}`. "
        f"Rankings {report.depth} documents deep, nDCG with linear gain, means with 95 % bootstrap "
        "intervals. Latency is the search without the encoding of the query."
    )


def card_figures(report: Report) -> list[str]:
    """Return what its model's card says of each run at its size, by the first benchmark of all.

    Empty for a run of which the card says nothing; no list where no card says anything.
    """
    if not report.published:
        return []
    first = report.published[0].benchmark
    known = {
        (one.profile, one.size): f"{one.score:.2f}"
        for one in report.published
        if one.benchmark == first
    }
    return [
        "" if run.by_words else known.get((run.configuration.profile, run.configuration.size), "")
        for run in report.runs
    ]


def _runs(report: Report) -> str:
    names, card = columns(report), card_figures(report)
    head = ["run", "size", *names, "p50 ms", "p95 ms", "bytes/chunk", "chunks"]
    rows = [_row(run, names) for run in report.runs]
    if card:
        head.append(f"card: {report.published[0].benchmark}")
        rows = [[*row, figure] for row, figure in zip(rows, card, strict=True)]
    return table(head, rows)


def _row(run: Run, names: Sequence[str]) -> list[str]:
    figures = [f"{run.metrics[name]:.4f}" if name in run.metrics else "" for name in names]
    spread = run.intervals[PRIMARY]
    figures[0] += f" ({spread.low:.3f}-{spread.high:.3f})"
    latency, index = run.latency, run.index
    return [
        run.name,
        "" if run.by_words else str(run.configuration.size),
        *figures,
        f"{latency.p50_ms:.1f}",
        f"{latency.p95_ms:.1f}",
        str(index.searched_bytes),
        str(index.chunks),
    ]


def _published(report: Report) -> str:
    if not report.published:
        return ""
    rows = [
        [each.profile, each.benchmark, str(each.size), f"{each.score:.2f}"]
        for each in report.published
    ]
    return "The model card's figures:\n\n" + table(["model", "benchmark", "size", "score"], rows)


def _comparisons(comparisons: Sequence[Comparison]) -> str:
    rows = [
        [
            f"{one.run} against {one.against}",
            one.metric,
            f"{one.difference:+.4f}",
            f"{one.p_value:.2g}",
            f"{one.wins}/{one.losses}/{one.ties}",
        ]
        for one in comparisons
    ]
    return table(["comparison", "measure", "difference", "p", "win/loss/tie"], rows) if rows else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
