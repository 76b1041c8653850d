"""The gate: what counts as worse, and which baselines say nothing."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import UnusableBaseline
from gateway.evaluation.baseline import load_baseline
from gateway.evaluation.gate import Gate, Verdict
from gateway.evaluation.report_json import report_to_json
from gateway.evaluation.results import Report, Run
from tests.support.golden_sets import made_report, made_run


def written(report: Report, path: Path) -> Path:
    path.write_text(json.dumps(report_to_json(report)), "utf-8")
    return path


def of(value: float, name: str = "dense", **kinds: Any) -> Report:
    return made_report(made_run(name, {"q1": value, "q2": value}, **kinds))


def coarse(run: Run, size: int) -> Run:
    return replace(run, configuration=replace(run.configuration, coarse=size))


def test_a_drop_over_the_bound_names_stage_metric_and_figures() -> None:
    found = Gate(of(0.65)).judge(of(0.60)).fallen
    assert [str(one) for one in found] == ["dense: ndcg@10 fell from 0.6500 to 0.6000 (-0.0500)"]


@pytest.mark.parametrize(
    ("now", "before", "count"),
    [(0.64, 0.65, 0), (0.6399, 0.65, 1), (0.65, 0.65, 0), (0.9, 0.65, 0), (0.0, 1.0, 1)],
)
def test_the_bound_itself_is_allowed(now: float, before: float, count: int) -> None:
    assert len(Gate(of(before)).judge(of(now)).fallen) == count


def test_a_baseline_is_read_back_from_its_file(tmp_path: Path) -> None:
    report = made_report(made_run("dense"), made_run("hybrid"))
    read = load_baseline(written(report, tmp_path / "baseline.json"))
    assert Gate(read, 0.0).judge(report) == Verdict(2)


def test_a_run_of_the_baseline_that_is_missing_does_not_pass() -> None:
    before = made_report(made_run("dense"), made_run("lexical"), made_run("hybrid"))
    with pytest.raises(UnusableBaseline, match="the baseline has lexical, hybrid, and no such run"):
        Gate(before).judge(made_report(made_run("dense")))


def test_stages_that_were_left_out_on_purpose_do_not_count() -> None:
    before = made_report(made_run("dense"), made_run("lexical", {"q1": 1.0, "q2": 1.0}))
    verdict = Gate(before, stages=["dense"]).judge(made_report(made_run("dense")))
    assert verdict == Verdict(1, (), ("lexical",))
    sizes = made_report(made_run("dense 768"), made_run("dense 256", size=256))
    with pytest.raises(UnusableBaseline, match="the baseline has dense 256, and no such run"):
        Gate(sizes, stages=["dense"]).judge(made_report(made_run("dense 768")))


def test_a_measure_that_is_missing_does_not_pass() -> None:
    run = made_run("dense")
    more = replace(run, metrics={**run.metrics, "span_recall@10": 1.0})
    with pytest.raises(UnusableBaseline, match=r"dense has span_recall@10, and this one's has not"):
        Gate(made_report(more)).judge(made_report(run))
    assert Gate(made_report(run)).judge(made_report(more)) == Verdict(1)


def test_a_run_by_words_is_the_same_whatever_the_size() -> None:
    before = made_report(made_run("lexical", size=256, quantization="int8"))
    assert Gate(before).judge(made_report(made_run("lexical"))) == Verdict(1)


UNUSABLE: dict[str, tuple[Callable[[Report], Report], str]] = {
    "another set": (lambda r: made_report(sha256="cd" * 32), "measured another set: 'little'"),
    "another split": (
        lambda r: replace(r, dataset=replace(r.dataset, split="dev")),
        "split 'dev'",
    ),
    "fewer queries": (
        lambda r: replace(r, dataset=replace(r.dataset, queries=1)),
        "measured 1 queries 100 documents deep.*--limit-queries and --top",
    ),
    "another depth": (lambda r: replace(r, depth=10), "2 queries 10 documents deep"),
    "no such stage": (
        lambda r: of(0.5, "lexical"),
        r"no run dense \(it has lexical\); make a new baseline",
    ),
    "another size": (lambda r: of(0.5, size=256), "no run dense of size 768, not 256 "),
    "another quantisation": (
        lambda r: of(0.5, quantization="int8"),
        "no run dense of quantization none, not int8 ",
    ),
    "another first pass": (
        lambda r: made_report(coarse(made_run(), 128)),
        "no run dense of coarse none, not 128 ",
    ),
    "the likest of several is named": (
        lambda r: made_report(made_run("dense", size=256, quantization="int8"), made_run(size=512)),
        "no run dense of size 768, not 512 ",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_baseline_of_something_else_is_refused(case: str) -> None:
    change, message = UNUSABLE[case]
    report = made_report()
    with pytest.raises(UnusableBaseline, match=message):
        Gate(change(report)).judge(report)
