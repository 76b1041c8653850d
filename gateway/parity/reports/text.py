"""The report as plain text, for messages and logs."""

from gateway.parity.compare import Comparison
from gateway.parity.layers.judged import Judged
from gateway.parity.report import Report
from gateway.parity.reports.figures import figures


def plain_text(report: Report) -> str:
    """The verdict, then every layer of every candidate."""
    verdict = "in parity" if report.ok else "NOT in parity"
    head = f"{verdict} with {report.reference} ({report.texts} texts, space {report.space})"
    return "\n".join([head, *(_candidate(one) for one in report.comparisons)])


def _candidate(one: Comparison) -> str:
    about = one.about
    head = f"{about.kind} at {about.where} in {about.dtype or 'an unknown dtype'}"
    lines = [head, *(_layer(layer) for layer in one.layers)]
    return "\n".join([*lines, one.cause] if one.cause else lines)


def _layer(layer: Judged) -> str:
    told = layer.note or figures(layer.figures)
    lines = [f"  {layer.status.value:4}  {layer.layer}: {told}"]
    return "\n".join([*lines, *(f"        {failure}" for failure in layer.failures)])
