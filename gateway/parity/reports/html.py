"""The report as one self-contained HTML page: no script, no font, no address outside."""

from html import escape

from gateway.pages import facts_table, page
from gateway.pages import figure as picture_of
from gateway.parity.compare import Comparison, Plots
from gateway.parity.layers.judged import Figure, Judged, Status
from gateway.parity.report import Report
from gateway.parity.reports.figures import figure
from gateway.parity.reports.plots import drift, heat_map, histogram

_MARKS = {Status.OK: "ok", Status.FAIL: "fail", Status.SKIP: "skip"}


def html_page(report: Report) -> str:
    """The page: the verdict on top, then each candidate with its layers and pictures."""
    body = "\n".join([_verdict(report), *map(_candidate, report.comparisons), _made_of(report)])
    title = "In parity" if report.ok else "Not in parity"
    return page(f"{title} - {report.profile}", body)


def _verdict(report: Report) -> str:
    word, kind = ("In parity", "ok") if report.ok else ("Not in parity", "fail")
    many = len(report.comparisons)
    good = sum(one.ok for one in report.comparisons)
    told = f"{good} of {many} candidates make" if many > 1 else f"The candidate {_makes(report.ok)}"
    return (
        f'<header class="verdict {kind}"><p class="kicker">gateway parity</p><h1>{word}</h1>'
        f"<p>{told} the vectors of <b>{escape(report.reference)}</b> for {report.texts} texts of "
        f"up to {report.longest:,} tokens in the space <code>{escape(report.space)}</code>.</p>"
        f"{_failed(report)}</header>"
    )


def _failed(report: Report) -> str:
    """The layers that failed, in words, for those who read no further."""
    names = dict.fromkeys(layer.layer for one in report.comparisons for layer in one.failed)
    return f'<p class="named">Failed: {escape(", ".join(names))}</p>' if names else ""


def _makes(ok: bool) -> str:
    return "makes" if ok else "does not make"


def _candidate(one: Comparison) -> str:
    about = one.about
    kind = "ok" if one.ok else "fail"
    cause = f'<p class="cause">{escape(one.cause)}</p>' if one.cause else ""
    rows = "".join(map(_row, one.layers))
    return (
        f'<section><h2><span class="dot {kind}"></span>{escape(about.kind)} at '
        f"{escape(about.where)}</h2>{_facts(one)}{cause}"
        '<table class="layers"><thead><tr><th>Layer</th><th></th><th>What it proves</th>'
        f"<th>Figures</th></tr></thead><tbody>{rows}</tbody></table>{_pictures(one)}</section>"
    )


def _facts(one: Comparison) -> str:
    about = one.about
    facts = {"model": about.model_id, "dtype": about.dtype or "not told", **about.facts}
    facts["bars"] = one.bars.dtype
    pairs = "".join(
        f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(text)}</dd></div>"
        for name, text in facts.items()
    )
    return f'<dl class="facts">{pairs}</dl>'


def _row(layer: Judged) -> str:
    mark = _MARKS[layer.status]
    failures = "".join(f"<li>{escape(failure)}</li>" for failure in layer.failures)
    told = f'<ul class="failures">{failures}</ul>' if failures else ""
    shown = escape(layer.note) or "".join(_chip(*item) for item in layer.figures.items())
    return (
        f'<tr class="{mark}"><th>{escape(layer.layer)}</th>'
        f'<td><span class="mark {mark}">{mark}</span></td>'
        f"<td>{escape(layer.proves)}{told}</td><td>{shown}</td></tr>"
    )


def _chip(name: str, value: Figure) -> str:
    return (
        f'<span class="chip"><i>{escape(name.replace("_", " "))}</i> '
        f"{escape(figure(value))}</span> "
    )


def _pictures(one: Comparison) -> str:
    plots, bar = one.plots, one.bars.cosine_min
    if plots is None:
        return ""
    two = picture_of(
        histogram(plots.cosines, bar),
        "How far from the reference",
        "1 − cosine of each text; the dashed line is the bar",
    ) + picture_of(
        drift(plots.tokens, plots.cosines, bar),
        "Drift with length",
        "1 − cosine by tokens of the text",
    )
    return f'<div class="plots two">{two}</div>{_maps(plots)}'


def _maps(plots: Plots) -> str:
    """Similarities of the short texts, each to each; nothing where there are none."""
    count = len(plots.reference)
    if count < 2:
        return ""
    off = abs(plots.candidate - plots.reference)
    most = f"at most {figure(float(off.max()))}, darkest"
    maps = (
        ("Reference", plots.reference, "similarity", f"{count} short texts, each to each"),
        ("Candidate", plots.candidate, "similarity", "the same texts"),
        ("Difference", off, "difference", most),
    )
    shown = "".join(
        picture_of(heat_map(rows, kind), title, told) for title, rows, kind, told in maps
    )
    return f'<div class="plots three">{shown}</div>'


def _made_of(report: Report) -> str:
    sources = {one.bars.dtype: one.bars.source for one in report.comparisons}
    facts = {
        "at": report.at,
        "profile": report.profile,
        "corpus sha256": report.corpus,
        **{f"reference {name}": text for name, text in report.made_by.items()},
        **report.versions,
        **{f"bars of {dtype}": source for dtype, source in sources.items()},
        **_numbers(report),
    }
    return f"<section><h2>Made of</h2>{facts_table(facts)}</section>"


def _numbers(report: Report) -> dict[str, str]:
    """Every bar as a number, by dtype."""
    found = {one.bars.dtype: one.bars.as_facts() for one in report.comparisons}
    return {
        f"bars of {dtype} in numbers": ", ".join(
            f"{name.replace('_', ' ')} {value:g}"
            for name, value in facts.items()
            if isinstance(value, float)
        )
        for dtype, facts in found.items()
    }
