"""Baselines: what is read, and what nothing could be held against."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import UnusableBaseline
from gateway.evaluation.baseline import load_baseline, require_kept
from gateway.evaluation.report_json import report_to_json
from tests.support.golden_sets import made_report, made_run

Data = dict[str, Any]


def data_of(*names: str) -> Data:
    return report_to_json(made_report(*map(made_run, names)))


def measures(**values: Any) -> Callable[[Data], Any]:
    return lambda data: data["runs"][0].update(metrics=values)


NO_BAR: dict[str, tuple[Callable[[Data], Any], str]] = {
    "no run": (lambda data: data.update(runs=[]), "has no run"),
    "no measure": (measures(), "has no measure of its run 'dense'"),
    "NaN": (measures(map=float("nan")), "has map nan in its run 'dense', and measures lie within"),
    "infinity": (measures(map=float("-inf")), "has map -inf"),
    "above 1": (measures(map=1.5), "has map 1.5"),
    "below 0": (measures(map=-0.5), "has map -0.5"),
    "two of a kind": (
        lambda data: data["runs"].append(data["runs"][0]),
        "has 2 runs like 'dense', and which counts is open",
    ),
}


@pytest.mark.parametrize("case", NO_BAR)
def test_what_nothing_can_fall_below_is_no_bar(case: str, tmp_path: Path) -> None:
    change, message = NO_BAR[case]
    data = data_of("dense", "hybrid")
    change(data)
    (tmp_path / "b.json").write_text(json.dumps(data), "utf-8")
    with pytest.raises(UnusableBaseline, match=f"{message}.*; write one with: gateway eval"):
        load_baseline(tmp_path / "b.json")


def test_a_baseline_that_an_editor_marked_as_utf_8_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps(data_of("dense")), "utf-8-sig")
    assert load_baseline(tmp_path / "b.json").runs[0].name == "dense"


def test_the_report_that_a_run_overwrites_is_no_baseline(tmp_path: Path) -> None:
    report = tmp_path / "out/report.json"
    report.parent.mkdir()
    report.write_text("{}")
    (tmp_path / "link.json").symlink_to(report)
    for name in ("out/report.json", "out/../out/report.json", "link.json"):
        with pytest.raises(UnusableBaseline, match=r"--run-dir .* overwrites.*another --run-dir"):
            require_kept(tmp_path / name, tmp_path / "out")
    require_kept(report, tmp_path / "new")
    require_kept(tmp_path / "nowhere.json", tmp_path / "out")


NO_REPORT: dict[str, Callable[[Data], Any]] = {
    "a stage that is no text": lambda data: data["runs"][0].update(stage={}),
    "a name that is no text": lambda data: data["runs"][0].update(name=None),
    "a size that is a list": lambda data: data["runs"][0].update(size=[768]),
    "a digest that is no text": lambda data: data["dataset"].update(sha256=7),
    "a depth without end": lambda data: data.update(depth=float("inf")),
    "a calibration whose scores fall": lambda data: data.update(
        calibrations=[
            {
                "stage": "dense",
                "calibration": {"scores": [2, 1], "probabilities": [0, 1]},
                "brier": 0.1,
                "error": 0.1,
            }
        ]
    ),
    "a measure of 400 digits": measures(map=10**400),
}


@pytest.mark.parametrize("case", NO_REPORT)
def test_what_could_not_be_compared_is_no_report(case: str, tmp_path: Path) -> None:
    data = data_of("dense")
    NO_REPORT[case](data)
    (tmp_path / "b.json").write_text(json.dumps(data), "utf-8")
    with pytest.raises(UnusableBaseline, match=r"b\.json' is no report \(.*write one with"):
        load_baseline(tmp_path / "b.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 1}', '{"version": 7}', "not json", '{"runs": 3}', "null"]
)
def test_what_is_no_report_is_refused_with_the_remedy(text: str, tmp_path: Path) -> None:
    (tmp_path / "baseline.json").write_text(text)
    with pytest.raises(UnusableBaseline, match=r"write one with: gateway eval"):
        load_baseline(tmp_path / "baseline.json")


def test_a_baseline_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("[" * 100_000)
    with pytest.raises(UnusableBaseline, match=r"cannot be read: .*write one with"):
        load_baseline(tmp_path / "b.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableBaseline, match="cannot be read"):
        load_baseline(tmp_path / "nowhere.json")
