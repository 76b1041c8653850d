"""The report in each of its forms: right, complete, and free of anything from outside."""

import os
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import orjson
import pytest
import typer

from gateway.cli import parity as parity_command
from gateway.cli.common import never_a_verdict
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.parity.asserting import assert_parity
from gateway.parity.candidates.base import About
from gateway.parity.compare import compare
from gateway.parity.report import Report, make_report, to_json
from gateway.parity.reports.figures import figure
from gateway.parity.reports.html import html_page
from gateway.parity.reports.junit import junit
from gateway.parity.reports.text import plain_text
from tests.support.parity import Repeating, made_up_truth

pytestmark = pytest.mark.anyio

PROFILE = replace(EMBEDDING_GEMMA_300M, name="made-up", sizes=(64, 32), default_size=64, goldens=())
TRUTH = made_up_truth(PROFILE)


@pytest.fixture
async def report() -> Report:
    good = await compare(Repeating(TRUTH.recording), TRUTH, PROFILE)
    bad = await compare(Repeating(TRUTH.recording, extra_tokens=5), TRUTH, PROFILE)
    bad = replace(bad, about=About("tei", "http://<b>&co", "org/model", facts={"a": "<i>"}))
    return make_report(PROFILE.name, TRUTH, [good, bad], at="2026-01-02T03:04:05+00:00")


async def test_one_candidate_out_of_parity_is_enough_for_no(report: Report) -> None:
    assert not report.ok
    assert replace(report, comparisons=report.comparisons[:1]).ok
    assert not replace(report, comparisons=()).ok


async def test_json_holds_versions_the_corpus_and_every_layer(report: Report) -> None:
    told = orjson.loads(orjson.dumps(to_json(report)))

    assert told["in_parity"] is False
    assert re.fullmatch("[0-9a-f]{64}", told["corpus"]["sha256"])
    assert {"python", "numpy", "tei-rag-gateway"} <= set(told["versions"])
    assert [one["in_parity"] for one in told["candidates"]] == [True, False]
    layers = {layer["layer"]: layer["status"] for layer in told["candidates"][1]["layers"]}
    assert (layers["tokens"], layers["vectors"], layers["model card"]) == ("fail", "ok", "skip")
    assert told["candidates"][1]["bars"]["source"]


async def test_junit_has_a_suite_for_each_candidate_and_a_case_for_each_layer(
    report: Report,
) -> None:
    good, bad = ET.fromstring(junit(report)).findall("testsuite")

    assert (good.get("failures"), bad.get("failures"), bad.get("skipped")) == ("0", "1", "2")
    (failure,) = bad.iter("failure")
    assert "prompt of its own" in failure.get("message", "")
    assert len(bad.findall("testcase")) == int(bad.get("tests", 0))


async def test_the_page_shows_the_verdict_and_loads_nothing(report: Report) -> None:
    page = html_page(report)

    assert "<h1>Not in parity</h1>" in page
    assert "Failed: tokens" in page
    assert "<script" not in page
    assert not re.search(r"(src|href|url\()", page)
    assert "http://&lt;b&gt;&amp;co" in page
    assert "<b>&co" not in page
    assert "<h1>In parity</h1>" in html_page(replace(report, comparisons=report.comparisons[:1]))


async def test_every_picture_of_the_page_is_well_formed(report: Report) -> None:
    pictures = re.findall(r"<svg.*?</svg>", html_page(report), re.DOTALL)

    labels = [ET.fromstring(picture).get("aria-label") for picture in pictures]
    assert len(labels) == 10
    assert labels[0] == "Histogram of distances to the reference"


async def test_plain_text_names_what_failed_and_the_cause(report: Report) -> None:
    text = plain_text(report)

    assert text.startswith("NOT in parity with made up")
    assert "fail  tokens" in text
    assert "reads other tokens" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.9999876, "0.9999876"), (0.5, "0.5000"), (1e-8, "1.0e-08"), (0.0, "0.0000"), (3, "3")],
)
def test_figures_are_short_and_keep_their_nines(value: float, shown: str) -> None:
    assert figure(value) == shown


async def test_the_assertion_passes_quietly_and_fails_with_the_report() -> None:
    good = Repeating(TRUTH.recording)
    assert (await assert_parity(good, TRUTH.recording, profile=PROFILE)).ok
    assert not good.closed, "it is its owner who closes it"

    with pytest.raises(AssertionError, match="prompt of its own"):
        await assert_parity(
            Repeating(TRUTH.recording, extra_tokens=5), TRUTH.recording, profile=PROFILE
        )


@pytest.mark.parametrize("device", ["gone", "/dev/full"])
async def test_output_that_fails_never_makes_a_verdict(
    report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str
) -> None:
    """A reader who has gone changes nothing; a full disk leaves with 2, for 1 is "not in parity"."""
    if device == "gone":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open(device, os.O_WRONLY)
    good = replace(report, comparisons=report.comparisons[:1])
    with os.fdopen(writing, "w") as output:
        monkeypatch.setattr("sys.stdout", output)
        with pytest.raises(typer.Exit) if device != "gone" else nullcontext() as left:
            concluded(good, tmp_path / "parity.html")
        monkeypatch.undo()
    assert (tmp_path / "parity.html").exists()
    assert device == "gone" or (left is not None and left.value.exit_code == 2)


def concluded(report: Report, html: Path) -> None:
    with never_a_verdict():
        parity_command._conclude(  # pyright: ignore[reportPrivateUsage]
            report, as_json=None, junit=None, html=html
        )
