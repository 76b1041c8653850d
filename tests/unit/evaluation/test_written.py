"""Files of an evaluation: TREC run files that measure the same again, Markdown, JSON."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import ir_measures
import pytest

from gateway.domain.calibration import Calibration
from gateway.errors import ConfigurationError
from gateway.evaluation.html import html_page
from gateway.evaluation.markdown import card_figures, markdown
from gateway.evaluation.measures import MEASURES, measure
from gateway.evaluation.plots import intervals, quality_against_bytes
from gateway.evaluation.report_json import report_from_json, report_to_json
from gateway.evaluation.results import Calibrated, Published, QueryResult, Recommendation, Run
from gateway.evaluation.statistics import compare
from gateway.evaluation.trec import file_names, run_lines
from gateway.evaluation.written import write_report
from tests.support.golden_sets import made_report, made_run, ranking

QRELS = {"q1": {"a": 0, "b": 2, "c": 1}, "q 2": {"b": 1}}


def searched() -> Run:
    """A run with ties, whose order trec_eval alone would turn round."""
    hits = {"q1": ranking("b", "a", "c", scores=[0.5, 0.5, 0.5]), "q 2": ranking("a", "b")}
    values = measure(QRELS, hits)
    found = tuple(QueryResult(q, values[q], hits[q], 0.001) for q in QRELS)
    return replace(made_run("hybrid 256 int8"), queries=found)


def test_a_run_file_measures_what_the_report_says() -> None:
    run = searched()
    lines = "".join(run_lines(run))
    library: Any = ir_measures
    read = list(library.read_trec_run(lines))
    qrels = [
        ir_measures.Qrel(query.replace(" ", "_"), document, grade)
        for query, row in QRELS.items()
        for document, grade in row.items()
    ]
    again = {
        value.query_id: value.value
        for value in library.iter_calc([ir_measures.nDCG @ 10], qrels, read)
    }
    expected = {q.query_id.replace(" ", "_"): q.metrics["ndcg@10"] for q in run.queries}
    assert again == pytest.approx(expected)
    assert set(run.queries[0].metrics) == set(MEASURES)


def test_the_lines_of_a_run_file() -> None:
    lines = list(run_lines(searched()))
    assert lines[0] == "q1 Q0 b 1 0.5 hybrid_256_int8\n"
    assert lines[3].startswith("q_2 Q0 a 1 ")
    assert all(len(line.split()) == 6 for line in lines)
    assert file_names(["hybrid 256 int8"]) == {"hybrid 256 int8": "hybrid-256-int8.trec"}


def test_all_files_are_written(tmp_path: Path) -> None:
    report = made_report(searched(), made_run("dense"))
    write_report(report, tmp_path / "out" / "deep")
    names = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*"))
    assert names == [
        "out/deep/report.html",
        "out/deep/report.json",
        "out/deep/report.md",
        "out/deep/runs/dense.trec",
        "out/deep/runs/hybrid-256-int8.trec",
    ]
    data = json.loads((tmp_path / "out/deep/report.json").read_text("utf-8"))
    assert [run["name"] for run in data["runs"]] == ["hybrid 256 int8", "dense"]
    assert "ranking" not in data["runs"][0]["queries"][0]


def test_every_run_has_a_file_of_its_own_however_long_its_name(tmp_path: Path) -> None:
    long = "dense (" + "encoder=local," * 30
    names = ["dense", "a b", "a-b", "A-B", f"{long}1)", f"{long}2)"]
    write_report(made_report(*map(made_run, names)), tmp_path)
    files = {path.read_text().split()[5]: path.name for path in (tmp_path / "runs").iterdir()}
    assert files.keys() == {name.replace(" ", "_") for name in names}
    assert len({name.casefold() for name in files.values()}) == len(names)
    assert files["dense"] == "dense.trec"
    assert max(map(len, files.values())) < 120
    write_report(made_report(made_run("a b")), tmp_path)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a-b.trec"]


def test_run_files_of_an_earlier_report_go_and_those_of_others_stay(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_report(made_report(made_run("dense"), made_run("hybrid+rerank")), tmp_path)
    (runs / "bm25s.trec").write_text("of another tool")
    write_report(made_report(made_run("dense"), made_run("lexical")), tmp_path)
    assert sorted(path.name for path in runs.iterdir()) == [
        "bm25s.trec",
        "dense.trec",
        "lexical.trec",
    ]


@pytest.mark.parametrize("earlier", ["no json", '{"runs": [{"name": 7}]}', "[]", "{}"])
def test_a_folder_with_another_report_json_loses_no_run_file(tmp_path: Path, earlier: str) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "7.trec").write_text("of another tool")
    (tmp_path / "report.json").write_text(earlier)
    write_report(made_report(made_run("dense")), tmp_path)
    assert (tmp_path / "runs" / "7.trec").is_file()


def test_a_file_is_replaced_as_a_whole_or_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up in the middle of a run file."""
    write_report(made_report(searched()), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}

    def full(run: Run) -> Iterator[str]:
        yield f"{run.name} is cut"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.evaluation.written.run_lines", full)
    with pytest.raises(ConfigurationError, match="No space left"):
        write_report(made_report(searched(), made_run("lexical")), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_files_of_its_user_beside_a_report_stay(tmp_path: Path) -> None:
    """Also one by the name of a file that is on its way."""
    for name in ("report.md.new", "report.json.new"):
        (tmp_path / name).write_text("mine")
    write_report(made_report(), tmp_path)
    assert (tmp_path / "report.md.new").read_text() == "mine"
    assert (tmp_path / "report.json.new").read_text() == "mine"
    modes = {path.stat().st_mode for path in tmp_path.iterdir() if path.is_file()}
    assert len(modes) == 1, "a report may be read by whoever may read its neighbours"
    assert not list(tmp_path.rglob(".*"))


def test_a_folder_that_cannot_be_made_is_an_error_of_the_operator(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(ConfigurationError, match="cannot write into"):
        write_report(made_report(), tmp_path / "file")


def test_markdown_shows_runs_published_figures_comparison_and_advice() -> None:
    dense, hybrid = made_run("dense"), made_run("hybrid", {"q1": 1.0, "q2": 1.0})
    report = replace(
        made_report(dense, hybrid),
        comparisons=(compare(hybrid, dense, "ndcg@10"),),
        published=(Published("MTEB | English", 768, 69.67, "m"),),
        recommendation=Recommendation("hybrid", "it is better"),
        warnings=("look closely",),
    )
    text = markdown(report)
    assert "| dense | 768 | 0.7500 (0.650-0.850) |" in text
    assert "| m | MTEB \\| English | 768 | 69.67 |" in text
    assert "| card: MTEB \\| English |" in text
    assert "| 7 | 69.67 |" in text
    assert "| hybrid against dense | ndcg@10 | +0.2500 |" in text
    assert "1/0/1" in text
    assert "**Recommended: hybrid.** it is better." in text
    assert "- Warning: look closely" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({row.count("|") - row.count("\\|") for row in rows[:4]}) == 1


def test_a_card_stands_beside_the_runs_of_its_own_model_alone() -> None:
    """Two models of one size, of which both cards tell the same benchmark, and a third of another."""
    runs = [made_run(name) for name in ("dense", "dense (a)", "dense (b)", "lexical")]
    configurations = [
        replace(run.configuration, profile=profile)
        for run, profile in zip(runs, ("first", "second", "third", "first"), strict=True)
    ]
    pairs = zip(runs, configurations, strict=True)
    report = replace(
        made_report(*(replace(run, configuration=one) for run, one in pairs)),
        published=(
            Published("MTEB", 768, 61.15, "first"),
            Published("MTEB", 768, 62.49, "second"),
            Published("other", 768, 57.9, "third"),
        ),
    )
    assert card_figures(report) == ["61.15", "62.49", "", ""]
    text = markdown(report)
    assert "| first | MTEB | 768 | 61.15 |" in text
    assert "| second | MTEB | 768 | 62.49 |" in text
    page = html_page(report)
    assert "<th>third</th><td>other</td><td>768</td><td>57.90</td>" in page
    assert report_to_json(report)["published"][1]["profile"] == "second"


def test_reports_without_the_model_of_a_card_are_still_read() -> None:
    data = report_to_json(replace(made_report(), published=(Published("MTEB", 768, 61.15, "m"),)))
    del data["published"][0]["profile"]
    assert report_from_json(data).published == (Published("MTEB", 768, 61.15),)


def test_words_have_bytes_and_no_size() -> None:
    words = made_run("lexical", searched=640)
    assert "| lexical |  | 0.7500 (0.650-0.850) | 2.0 | 3.0 | 640 | 7 |" in markdown(
        made_report(words)
    )
    page = html_page(made_report(made_run("dense"), words))
    assert "<th>lexical</th><td></td><td>0.7500 ± 0.100</td>" in page
    assert "lexical: ndcg@10 0.7500, 640 bytes" in page


def test_the_page_has_the_runs_the_pictures_and_no_address_outside() -> None:
    dense, hybrid = made_run("dense"), made_run("hybrid", {"q1": 1.0, "q2": 1.0})
    smaller = replace(made_run("dense 128 <b>"), index=replace(dense.index, searched_bytes=128))
    report = replace(
        made_report(dense, hybrid, smaller),
        comparisons=(compare(hybrid, dense, "ndcg@10"),),
        recommendation=Recommendation("hybrid", "it is better"),
        warnings=("look <closely>",),
        calibrations=(
            Calibrated("dense 128", "dense", Calibration((0.1, 0.9), (0.0, 1.0), 50), 0.1, 0.02),
        ),
    )
    text = html_page(report)
    body = text[text.index("<body>") : text.index("</body>") + len("</body>")]
    parsed = ElementTree.fromstring(body)  # well formed: every tag is closed
    labels = [node.get("aria-label") for node in parsed.iter("svg")]
    assert labels == [
        "ndcg@10 of each run with its interval",
        "Quality against bytes",
        "Queries won and lost",
        "Probability of relevance by score",
    ]
    rows = ["".join(row.itertext()) for row in parsed.iter("tr")]
    assert any(row.startswith("dense 128 <b>") for row in rows)
    assert "Recommended: <b>hybrid</b>. it is better." in text
    assert "look &lt;closely&gt;" in text
    assert "http" not in text.replace("http://www.w3.org", "")


def test_names_of_variants_are_told_whole_in_pictures() -> None:
    """Runs of one variant differ where a name would be cut, and a bar is as tall as its name."""
    long = "encoder=local,local.dtype=bfloat16,ingest.chunk_tokens=128"
    names = ["dense", f"dense 768 none ({long})", f"dense 768 none ({long}0)"]
    values = ({"q1": 0.1}, {"q1": 0.5}, {"q1": 1.0})
    runs = [
        made_run(name, value, searched=128 * 2**place)
        for place, (name, value) in enumerate(zip(names, values, strict=True))
    ]
    for picture in (intervals(runs), quality_against_bytes(runs, names)):
        svg = ElementTree.fromstring(picture)
        texts = [node.text or "" for node in svg.iter("text")]
        told = "".join(texts).replace(" ", "")
        assert all(name.replace(" ", "") in told for name in names)
        assert max(map(len, texts)) < 90
        height = float(svg.attrib["viewBox"].split()[-1])
        assert max(float(node.attrib["y"]) for node in svg.iter("text")) < height
    assert {"dense", "(1)", "(2)"} <= set(texts)


def test_names_of_a_set_are_text_and_never_markup() -> None:
    report = made_report(made_run("dense"), made_run("hybrid"))
    hostile = "a & <script>alert(1)</script>"
    text = html_page(replace(report, dataset=replace(report.dataset, name=hostile, split=hostile)))
    assert "<script" not in text
    assert "<h1>a &amp; &lt;script&gt;alert(1)&lt;/script&gt;: ndcg@10 0.7500</h1>" in text
