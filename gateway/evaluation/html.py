"""An evaluation as one self-contained HTML page: table, pictures, recommendation."""

from collections.abc import Sequence
from html import escape

from gateway.evaluation.markdown import columns
from gateway.evaluation.plots import intervals, quality_against_bytes, reliability, won_and_lost
from gateway.evaluation.recommend import best_of, frontier
from gateway.evaluation.results import PRIMARY, Calibrated, Comparison, Report, Run
from gateway.pages import facts_table, figure, page


def html_page(report: Report) -> str:
    """Return the page: what was found on top, then the runs, the pictures and what it was made of."""
    parts = [
        _head(report),
        _warnings(report),
        _runs(report),
        _pictures(report),
        _published(report),
        _calibrated(report.calibrations),
        _made_of(report),
    ]
    return page(f"Evaluation of {report.dataset.name}", "\n".join(filter(None, parts)))


def _head(report: Report) -> str:
    data, best = report.dataset, best_of(report.runs)
    advice = report.recommendation
    told = (
        f"<p>Recommended: <b>{escape(advice.run)}</b>. {escape(advice.why)}.</p>"
        if advice is not None
        else ""
    )
    graded = "graded" if data.graded else "binary"
    return (
        '<header class="verdict plain"><p class="kicker">gateway eval</p>'
        f"<h1>{escape(data.name)}: {PRIMARY} {best.metrics[PRIMARY]:.4f}</h1>"
        f"<p>by <b>{escape(best.name)}</b>, the best of {len(report.runs)} runs over "
        f"{data.queries} queries with {data.judgments} {graded} judgments.</p>{told}</header>"
    )


def _warnings(report: Report) -> str:
    return "".join(f'<p class="cause">{escape(text)}</p>' for text in report.warnings)


def _runs(report: Report) -> str:
    names = columns(report)
    heads = ["run", "size", *names, "p50 ms", "p95 ms", "bytes/chunk"]
    best = best_of(report.runs)
    rows = "".join(_row(run, names, best=run is best) for run in report.runs)
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return (
        '<section><h2>Runs</h2><div class="wide"><table class="runs"><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        "<p>Means over the queries; ± is half the 95 % bootstrap interval. Latency is the search "
        "without the encoding of the query.</p></section>"
    )


def _row(run: Run, names: Sequence[str], *, best: bool) -> str:
    cells = ["" if run.by_words else str(run.configuration.size)]
    for name in names:
        value = run.metrics.get(name)
        spread = run.intervals.get(name) if name == PRIMARY else None
        half = "" if spread is None else f" ± {(spread.high - spread.low) / 2:.3f}"
        cells.append("" if value is None else f"{value:.4f}{half}")
    latency = run.latency
    searched = str(run.index.searched_bytes)
    cells += [f"{latency.p50_ms:.1f}", f"{latency.p95_ms:.1f}", searched]
    shown = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    kind = ' class="best"' if best else ""
    return f"<tr{kind}><th>{escape(run.name)}</th>{shown}</tr>"


def _pictures(report: Report) -> str:
    runs, edge = report.runs, frontier(report.runs)
    drawn = [figure(intervals(runs), f"{PRIMARY} of each run", "with its 95 % interval")]
    if len({run.index.searched_bytes for run in runs}) > 1:
        told = "named are the runs that no other one beats in both"
        drawn.append(figure(quality_against_bytes(runs, edge), "Quality against bytes", told))
    for one in report.comparisons:
        if one.metric == PRIMARY:
            drawn.append(_compared(report, one))
    return f'<section><h2>Pictures</h2><div class="plots two">{"".join(drawn)}</div></section>'


def _compared(report: Report, one: Comparison) -> str:
    told = (
        f"{one.wins} queries better, {one.losses} worse, {one.ties} equal; difference "
        f"{one.difference:+.4f}, p = {one.p_value:.2g}"
    )
    picture = won_and_lost(report.run(one.run), report.run(one.against))
    return figure(picture, f"{one.run} against {one.against}", told)


def _published(report: Report) -> str:
    if not report.published:
        return ""
    rows = "".join(
        f"<tr><th>{escape(each.profile)}</th><td>{escape(each.benchmark)}</td><td>{each.size}</td>"
        f"<td>{each.score:.2f}</td></tr>"
        for each in report.published
    )
    return (
        "<section><h2>The model card's figures</h2><table class='runs'><thead><tr><th>model</th>"
        f"<th>benchmark</th><th>size</th><th>score</th></tr></thead><tbody>{rows}</tbody></table></section>"
    )


def _calibrated(found: Sequence[Calibrated]) -> str:
    if not found:
        return ""
    drawn = "".join(
        figure(
            reliability(one.calibration.scores, one.calibration.probabilities),
            f"Probability of relevance by score, {one.run}",
            f"{one.calibration.judged} hits; on held-out queries: Brier score {one.brier:.4f}, "
            f"expected calibration error {one.error:.4f}",
        )
        for one in found
    )
    return f'<section><h2>Calibration</h2><div class="plots two">{drawn}</div></section>'


def _made_of(report: Report) -> str:
    run = report.runs[0].configuration
    facts = {
        "profile": run.profile,
        "space": run.space,
        "dataset sha256": report.dataset.sha256,
        "split": report.dataset.split,
        "depth": str(report.depth),
        **report.versions,
    }
    return f"<section><h2>Made of</h2>{facts_table(facts)}</section>"
