"""The report as JUnit XML: a suite per candidate, a case per layer."""

from xml.etree import ElementTree as ET

from gateway.parity.compare import Comparison
from gateway.parity.layers.judged import Judged, Status
from gateway.parity.report import Report
from gateway.parity.reports.figures import figures


def junit(report: Report) -> str:
    """The XML, which every CI reads."""
    root = ET.Element("testsuites", name="gateway parity")
    for one in report.comparisons:
        root.append(_suite(report, one))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(report: Report, one: Comparison) -> ET.Element:
    about = one.about
    counts = {
        "tests": len(one.layers),
        "failures": len(one.failed),
        "skipped": sum(layer.status is Status.SKIP for layer in one.layers),
        "errors": 0,
    }
    suite = ET.Element(
        "testsuite",
        {"name": f"parity {about.kind} {about.where}", "timestamp": report.at}
        | {name: str(count) for name, count in counts.items()},
    )
    properties = ET.SubElement(suite, "properties")
    facts = {
        "space": report.space,
        "reference": report.reference,
        "corpus": report.corpus,
        "dtype": about.dtype or "not told",
        **about.facts,
        **{f"version {name}": text for name, text in report.versions.items()},
    }
    for name, text in facts.items():
        ET.SubElement(properties, "property", name=name, value=text)
    suite.extend(_case(layer, about.kind) for layer in one.layers)
    return suite


def _case(layer: Judged, kind: str) -> ET.Element:
    case = ET.Element("testcase", name=layer.layer, classname=f"gateway.parity.{kind}")
    if layer.status is Status.FAIL:
        failure = ET.SubElement(case, "failure", message=layer.failures[0], type="parity")
        failure.text = "\n".join(layer.failures)
    elif layer.status is Status.SKIP:
        ET.SubElement(case, "skipped", message=layer.note)
    ET.SubElement(case, "system-out").text = f"{layer.proves}\n{figures(layer.figures)}"
    return case
