"""`gateway eval` as a user and a CI job meet it: output, exit codes, files."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.errors import ConfigurationError
from gateway.evaluation.assembling import dataset_of, report_of
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.report_json import report_to_json
from gateway.evaluation.results import Run as Searched
from gateway.modelserver.contract import RERANKER
from tests.support.cli import Ran, Shell
from tests.support.golden_sets import QRELS, QUERIES, made_report, made_run, write_set
from tests.support.tei_stub import TEIStub
from tests.support.word_scorer import WordScorer


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    write_set(tmp_path / "little")
    return Shell(tmp_path, store="memory")


Run = Callable[..., Ran]


@pytest.fixture
def ran(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in this process: what it prints, and how it leaves."""
    monkeypatch.chdir(shell.home)

    def run(*arguments: str) -> Ran:
        done = CliRunner().invoke(app, arguments, env=shell.environment())
        return Ran(done.exit_code, done.stdout, done.stderr)

    return run


def baseline(shell: Shell, **changes: Any) -> Path:
    done = shell.run("eval", "little", "--json", "--stages", "dense")
    assert done.code == 0, done.err
    return shell.write("baseline.json", json.dumps({**done.json, **changes}))


def test_json_is_one_object_with_a_run_of_each_stage(shell: Shell) -> None:
    done = Shell(shell.home, store="edge").run("eval", "little", "--json")
    assert done.code == 0, done.err
    runs = {run["stage"]: run for run in done.json["runs"]}
    assert list(runs) == ["dense", "lexical", "hybrid"]
    for run in runs.values():
        assert run["metrics"]["ndcg@10"] == pytest.approx(1.0)
        assert run["metrics"]["recall@100"] == pytest.approx(1.0)
        assert len(run["queries"]) == 3
    assert done.json["dataset"]["name"] == "little"
    assert "warning: 1 query has no judgment" in done.err
    assert not (shell.home / "data" / "edge").exists()


def test_a_table_for_people_and_files_for_programs(shell: Shell) -> None:
    done = shell.run(
        "eval", "little", "--stages", "dense,lexical", "--run-dir", "out", "--top", "10"
    )
    assert done.code == 0, done.err
    assert "little test: 3 queries, 4 graded judgments" in done.out
    assert "1.0000" in done.out
    assert "lexical against dense: ndcg@10 +0.0000, p = 1" in done.out
    assert (shell.home / "out/runs/dense.trec").read_text().startswith("q1 Q0 otters 1 ")
    assert "| dense |" in (shell.home / "out/report.md").read_text("utf-8")


def test_long_names_of_variants_cost_no_figure_of_the_table(shell: Shell, ran: Run) -> None:
    """Names fold; nothing is cut, also where the terminal is narrow."""
    (shell.home / "little").rename(shell.home / "set [v2]")
    variant = (
        "size=128,ingest.chunk_tokens=32,ingest.overlap_tokens=4,tei.urls=http://a,http://[::1]"
    )
    arguments = ("--stages", "dense", "--sweep", "--variant", variant)
    done = ran("eval", "set [v2]", *arguments, "--run-dir", "out")
    assert done.code == 0, done.err
    assert "set [v2] test: 3 queries" in done.out
    table = [line for line in done.out.splitlines() if line.startswith("│")]
    assert not any("…" in line for line in done.out.splitlines())
    first = [line.split("│")[1].strip() for line in table]
    told = "".join(first).replace(" ", "")
    assert f"dense768none({variant})" in told
    figures = [[cell.strip() for cell in line.split("│")[2:-1]] for line in table]
    full = [row for row in figures if row[0] == "768"]
    assert full
    assert all(all(row) for row in full)


def test_queries_that_ask_the_same_are_told_by_the_check_too(shell: Shell, ran: Run) -> None:
    write_set(shell.home / "alike", queries={**QUERIES, "q3": QUERIES["q2"]})
    done = ran("golden", "check", "alike", "--json")
    assert (done.code, done.json["repeated"]) == (0, 1)
    assert "warning: 1 query asks what an earlier one asks, such as 'q3'" in done.err


def test_names_in_brackets_are_shown_as_they_are(shell: Shell, ran: Run) -> None:
    write_set(shell.home / "set [v2]")
    assert "set [v2] test: 3 queries" in ran("eval", "set [v2]", "--stages", "dense").out
    assert "name: set [v2]\n" in ran("golden", "check", "set [v2]").out
    variant = ("--variant", "size=128,llm.model=[red]")
    done = ran("eval", "little", "--stages", "dense", "--max-bytes-per-chunk", "600", *variant)
    assert "recommended: dense (size=128,llm.model=[red])" in done.out, done.err


def test_a_sweep_recommends(shell: Shell) -> None:
    done = shell.run(
        "eval", "little", "--sweep", "--stages", "dense", "--max-bytes-per-chunk", "2048"
    )
    assert done.code == 0, done.err
    assert "recommended: dense 128 none" in done.out
    assert "within 2048 bytes" in done.out
    assert "card: MTEB multilingual v2, mean(task) at that size" in done.out
    assert "61.15" in done.out
    assert "58.23" in done.out


def test_an_existing_collection(shell: Shell) -> None:
    edge = Shell(shell.home, store="edge")
    assert edge.run("ingest", "little/corpus.jsonl", "-c", "mine").code == 0
    done = edge.run("eval", "little", "-c", "mine", "--json", "--stages", "dense")
    assert done.code == 0, done.err
    assert done.json["runs"][0]["metrics"]["ndcg@10"] == pytest.approx(1.0)
    assert done.json["runs"][0]["index"]["documents"] == 5
    assert [row["name"] for row in edge.run("collections", "list", "--json").json] == ["mine"]


def test_the_gate_passes_what_is_as_good(shell: Shell) -> None:
    path = baseline(shell)
    done = shell.run("eval", "little", "--stages", "dense", "--baseline", str(path))
    assert done.code == 0
    assert "no regression: nothing of 1 run fell by more than 0.01" in done.err


def test_the_gate_fails_what_is_worse_and_names_it(shell: Shell, ran: Run) -> None:
    write_set(shell.home / "hard", qrels=[*QRELS, ("q4", "silence", "1")])
    arguments = ("eval", "hard", "--stages", "dense", "--json", "--run-dir", "out")
    data = ran(*arguments).json
    assert data["runs"][0]["metrics"]["mrr@10"] == 0.75
    data["runs"][0]["metrics"]["mrr@10"] = 1.0
    path = shell.write("baseline.json", json.dumps(data))
    done = ran(*arguments, "--baseline", str(path))
    assert done.code == 1
    assert "dense: mrr@10 fell from 1.0000 to 0.7500 (-0.2500)" in done.err
    assert done.json["runs"][0]["stage"] == "dense"
    assert ran(*arguments, "--baseline", str(path), "--max-drop", "0.5").code == 0
    done = ran(*arguments, "--baseline", "out/report.json")
    assert (done.code, done.out) == (2, "")
    assert "is what --run-dir 'out' overwrites" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "does not exist"),
        (("little", "--split", "dev"), "no split 'dev'; give --split: test"),
        (("little", "--stages", "sparse"), "no stage 'sparse'; take exact, dense, lexical, hybrid"),
        (("little", "--stages", ","), "no stage to run"),
        (("little", "--top", "0"), "take 10-1000"),
        (("little", "--top", "1000000"), "take 10-1000"),
        (("little", "--limit-queries", "0"), "take 1 or more"),
        (("little", "--language", "klingon"), "has no stemmer"),
        (("little", "--max-drop", "7"), "take 0.01 or so"),
        (("little", "--baseline", "nowhere.json"), "cannot be read"),
        (("negative",), "grade -1 is negative"),
        (("empty",), "queries.jsonl is empty"),
        (("other",), "judges another corpus"),
    ],
)
def test_what_cannot_be_measured_leaves_with_2_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    write_set(tmp_path / "little")
    write_set(tmp_path / "negative", qrels=[*QRELS, ("q4", "bees", "-1")])
    write_set(tmp_path / "empty", queries={})
    write_set(tmp_path / "other", qrels=[("q1", "moles", "1")])
    monkeypatch.chdir(tmp_path)
    environment = Shell(tmp_path, store="memory").environment()
    done = CliRunner().invoke(app, ["eval", *arguments], env=environment)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_baseline_of_another_set_or_stage_leaves_with_2(shell: Shell) -> None:
    path = str(baseline(shell))
    write_set(shell.home / "other", queries={**QUERIES, "q1": "what do otters hold"})
    done = shell.run("eval", "other", "--stages", "dense", "--baseline", path)
    assert done.code == 2
    assert "the baseline measured another set" in done.err
    done = shell.run("eval", "little", "--stages", "hybrid", "--baseline", path)
    assert done.code == 2
    assert "the baseline has no run hybrid" in done.err


def test_a_run_that_dropped_out_leaves_with_2_unless_stages_leave_it_out(
    shell: Shell, ran: Run
) -> None:
    done = ran("eval", "little", "--mmr", "0.5", "--json")
    path = str(shell.write("baseline.json", done.out))
    done = ran("eval", "little", "--baseline", path)
    assert done.code == 2
    assert "the baseline has hybrid+mmr, and no such run is here" in done.err
    done = ran("eval", "little", "--baseline", path, "--stages", "lexical,hybrid")
    assert done.code == 0
    assert "nothing of 2 runs fell by more than 0.01" in done.err
    assert "not compared: dense, hybrid+mmr of the baseline, which --stages leaves out" in done.err


def test_a_set_of_another_collection_leaves_with_2(shell: Shell) -> None:
    edge = Shell(shell.home, store="edge")
    shell.write("notes.md", "# Nothing about animals")
    assert edge.run("ingest", "notes.md", "-c", "mine").code == 0
    done = edge.run("eval", "little", "-c", "mine")
    assert done.code == 2
    assert "none of its 3 relevant documents is in 'mine'" in done.err


EDGE = ("--set", "store=edge")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "dance"), "no task 'dance'"),
        (("--mmr", "3"), "--mmr is 3.0; take 0-1"),
        (("--size", "100"), "no size 100"),
        (("--size", "256", "--coarse", "512"), "--coarse 512 is not shorter than size 256"),
        (("--sweep", "--coarse", "768"), "--coarse 768 is not shorter than size 128"),
        (("--coarse", "99"), "no size 99"),
        (("--rerank",), "needs a reranker and none is configured"),
        (("--variant", "encoder=nonsense"), "encoder"),
        (("--variant", "bfloat16"), "--variant wants KEY=VALUE[,KEY=VALUE], got 'bfloat16'"),
        (("--variant", "size=100"), "--variant size=100: "),
        (("--variant", "size=100"), "no size 100"),
        (("--calibrate",), "3 queries with 20 hits each are too few to calibrate"),
        (("--calibrate", "--stages", "exact"), "--calibrate has nothing to do with exact"),
        (("--run-dir", "little/queries.jsonl"), "cannot write into 'little/queries.jsonl'"),
        (("--baseline", "other.json"), "the baseline measured another set: 'little'"),
        (("-c", "mine", "--size", "128"), "leave --size out, or leave --collection out"),
        (("-c", "mine", "--whole"), "leave --whole out"),
        (("-c", "mine", "--language", "english"), "and its words are weighed already"),
        (("-c", "mine", "--average-words", "80"), "--average-words out"),
        (("--max-bytes-per-chunk", "900"), "there is no choice: add --sweep"),
        (("--max-bytes-per-chunk", "0", "--sweep"), "take 1 or more"),
        (("--max-drop", "0.05"), "there is neither: add --baseline or --sweep"),
        (("--stages", "dense", "--language", "english"), "which searches no words"),
        (("--k1", "-1"), "k1 is -1.0; take 0-10"),
        (("--b", "1.5"), "b is 1.5; take 0-1"),
        (("-c", "mine", "--k1", "0.9", "--b", "0.4"), "leave --language, --k1, --b and"),
        (("--stages", "lexical", "--size", "128"), "which searches no vectors"),
        (("--stages", "lexical", "--sweep"), "which searches no vectors"),
        (("--baseline", "dense.json", "--top", "20"), "use the same --limit-queries and --top"),
        (("--baseline", "dense.json", "--limit-queries", "2"), "measured 3 queries"),
        (("--baseline", "dense.json"), "the baseline has no run lexical, nor hybrid 512"),
        (("--baseline", "dense.json", "--stages", "dense", "--size", "256"), "no run dense 256"),
        (
            ("--baseline", "all.json", "--stages", "dense", "--variant", "size=256"),
            "no run dense 256 none (size=256) of size 256, not 512 and variant size=256, not none",
        ),
        (
            ("--baseline", "dense.json", "--stages", "dense", "--coarse", "128"),
            "no run dense 512 none of coarse 128, not none",
        ),
        (
            ("--baseline", "coarse.json", "--stages", "dense", "--coarse", "256"),
            "no run dense 512 none of coarse 256, not 128",
        ),
        (
            ("--baseline", "coarse.json", "--stages", "dense"),
            "no run dense 512 none of coarse none, not 128",
        ),
        (
            (*EDGE, "--baseline", "dense.json", "--stages", "dense", "--quantization", "int8"),
            "no run dense 512 int8 of quantization int8, not none",
        ),
        (
            (*EDGE, "--baseline", "dense.json", "--stages", "dense", "--sweep"),
            "nor dense 512 int8 of quantization int8, not none",
        ),
        (
            ("--baseline", "quantised.json", "--stages", "dense"),
            "no run dense 512 none of quantization none, not int8",
        ),
        (
            (*EDGE, "--baseline", "dense.json", "--stages", "exact", "--coarse", "128"),
            "no run exact 512 none (it has dense)",
        ),
    ],
)
def test_what_can_be_known_beforehand_is_refused_before_any_model_is_loaded(
    shell: Shell,
    ran: Run,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    """A model that cannot be loaded stands for one that must not be."""

    def refuse(*_: object) -> None:
        raise AssertionError("a runtime was opened")

    for name in ("scratch_runtime", "open_runtime"):
        monkeypatch.setattr(f"gateway.evaluation.opening.{name}", refuse)
    write_baselines(shell)
    done = ran("eval", "little", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_what_cannot_be_measured_is_no_regression(ran: Run) -> None:
    """Code 1 is a verdict, so a collection that is not there leaves with another."""
    done = ran("eval", "little", "-c", "nowhere", "--run-dir", "out")
    assert (done.code, done.out) == (2, "")
    assert not (Path.cwd() / "out").exists(), "there is nothing to write"
    assert "collection 'nowhere' does not exist" in done.err


@pytest.mark.parametrize("grouped", [False, True])
def test_what_nobody_foresaw_is_no_regression(
    ran: Run, monkeypatch: pytest.MonkeyPatch, grouped: bool
) -> None:
    async def broken(*_: object, **__: object) -> None:
        one = ZeroDivisionError("nobody thought of this")
        raise ExceptionGroup("several", [one]) if grouped else one

    monkeypatch.setattr("gateway.cli.eval.evaluate_configured", broken)
    done = ran("eval", "little")
    assert (done.code, done.out) == (2, "")
    assert "Traceback" in done.err
    assert "ZeroDivisionError: nobody thought of this" in done.err


def test_what_is_behind_a_stage_comes_once(ran: Run) -> None:
    done = ran("eval", "little", "--stages", "dense,hybrid+mmr", "--mmr", "0.7", "--json")
    assert [run["stage"] for run in done.json["runs"]] == ["dense", "hybrid+mmr"]


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize("value", [0.75, 1.0])
def test_a_reader_who_has_gone_changes_neither_files_nor_verdict(
    shell: Shell,
    ran: Run,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    form: tuple[str, ...],
    value: float,
) -> None:
    write_set(shell.home / "hard", qrels=[*QRELS, ("q4", "silence", "1")])
    arguments = ("eval", "hard", "--stages", "dense")
    data = ran(*arguments, "--json").json
    data["runs"][0]["metrics"]["mrr@10"] = value
    shell.write("baseline.json", json.dumps(data))
    reading, writing = os.pipe()
    os.close(reading)
    more = ("--baseline", "baseline.json", "--run-dir", "out")
    assert left_with(writing, shell, monkeypatch, *arguments, *form, *more) == int(value > 0.75)
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert ("regression: more than" in told, "error" in told) == (value > 0.75, False)
    assert (shell.home / "out/report.json").exists()
    assert (shell.home / "out/runs/dense.trec").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_output_that_cannot_be_written_is_told_and_costs_no_file(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shell.home)
    full = os.open("/dev/full", os.O_WRONLY)
    arguments = ("eval", "little", "--stages", "dense", "--json", "--run-dir", "out")
    assert left_with(full, shell, monkeypatch, *arguments) == 2
    told = capfd.readouterr().err
    assert "Traceback" not in told
    assert "error (configuration-error): the output cannot be written" in told
    assert (shell.home / "out/report.json").exists()


def test_a_folder_that_fails_at_the_end_costs_no_figures(
    ran: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ConfigurationError("cannot write into 'out': no space left")

    monkeypatch.setattr("gateway.cli._eval_output.write_report", full)
    done = ran("eval", "little", "--stages", "dense", "--json", "--run-dir", "out")
    assert done.code == 2
    assert done.json["runs"][0]["metrics"]["ndcg@10"] == pytest.approx(1.0)
    assert "no space left" in done.err


def left_with(
    number: int,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    *arguments: str,
    stream: str = "stdout",
) -> int | str | None:
    """How the command line leaves, with this file for its standard output, or error."""
    for name, value in shell.environment().items():
        monkeypatch.setenv(name, value)
    with os.fdopen(number, "w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, stream, file)
        with pytest.raises(SystemExit) as left:
            get_command(app).main(list(arguments), prog_name="gateway")
    return left.value.code


def test_a_value_of_a_variant_may_hold_commas(ran: Run) -> None:
    variant = ("--variant", "size=128,tei.urls=http://a,http://b")
    done = ran("eval", "little", "--stages", "dense", "--json", *variant)
    assert done.code == 0, done.err
    assert done.json["runs"][1]["size"] == 128


def test_a_variant_reranks_as_many_hits_as_it_says(shell: Shell, ran: Run) -> None:
    """The reranker would lift the last hit to the top, where it is given it to read."""
    documents = {f"d{number}": "moon moon moon" for number in range(12)}
    documents["last"] = "the moon " + "tides and water come and go twice " * 5
    write_set(
        shell.home / "moons",
        documents=documents,
        queries={"q": "the moon"},
        qrels=[("q", "last", "1")],
    )
    with TEIStub("1.9.3", reranker=WordScorer(), model_type=RERANKER) as server:
        done = ran(
            *("eval", "moons", "--stages", "lexical+rerank", "--top", "10", "--json"),
            *("--set", f"rerank.urls={server.url}", "--variant", "rerank.candidates=5"),
        )
    assert done.code == 0, done.err
    usual, few = done.json["runs"]
    assert [run["options"]["rerank_candidates"] for run in (usual, few)] == [50, 5]
    assert [run["metrics"]["ndcg@10"] for run in (usual, few)] == [1, 0]


def first_by(run: Searched, coarse: int) -> Searched:
    return replace(run, configuration=replace(run.configuration, coarse=coarse))


def write_pairs(folder: Path, *, documents: str, queries: str) -> None:
    """Write a set of 20 documents with a query each; their numbers go into the texts."""
    write_set(
        folder,
        documents={f"d{number}": documents.format(number) for number in range(20)},
        queries={f"q{number}": queries.format(number) for number in range(20)},
        qrels=[(f"q{number}", f"d{number}", "1") for number in range(20)],
    )


def write_baselines(shell: Shell) -> None:
    """Reports of the little set: by dense search, by every mode, quantised, and of another set."""
    golden = GoldenSet.load(shell.home / "little")
    dense, *more = (made_run(name, size=512) for name in ("dense", "lexical", "hybrid"))
    report = replace(made_report(dense), dataset=dataset_of(golden))
    for name, each in {
        "dense": report,
        "all": replace(report, runs=(dense, *more)),
        "quantised": replace(report, runs=(made_run("dense", size=512, quantization="int8"),)),
        "coarse": replace(report, runs=(first_by(dense, 128),)),
        "other": made_report(dense),
    }.items():
        shell.write(f"{name}.json", json.dumps(report_to_json(each)))


def test_a_baseline_that_proves_unlike_costs_no_figures(shell: Shell) -> None:
    """Which quantisation a set is searched by depends on how large it is, and shows at the end."""
    write_baselines(shell)
    edge = Shell(shell.home, store="edge")
    done = edge.run("eval", "little", "--stages", "dense", "--json", "--baseline", "quantised.json")
    assert done.code == 2
    assert done.json["runs"][0]["metrics"]["ndcg@10"] == pytest.approx(1.0)
    assert "the baseline has no run dense of quantization none, not int8" in done.err


@pytest.mark.parametrize("store", ["memory", "edge"])
def test_what_is_known_beforehand_of_a_baseline_is_what_is_measured(
    shell: Shell, ran: Run, store: str
) -> None:
    """Every fact that a plan tells of its runs is one that they have."""
    arguments = ("eval", "little", "--stages", "exact,dense,lexical", "--sweep", "--coarse", "128")
    more = ("--set", f"store={store}", "--size", "256", "--variant", "size=512")
    done = ran(*arguments, *more, "--json")
    assert done.code == 0, done.err
    shell.write("swept.json", done.out)
    done = ran(*arguments, *more, "--baseline", "swept.json")
    assert done.code == 0, done.err
    assert "no regression" in done.err


def test_words_are_weighed_as_asked_and_else_as_in_a_new_collection(shell: Shell, ran: Run) -> None:
    """A repeated word wins over two words by a large k1, a long text over a short one by a small b."""
    documents = {
        "repeated": "otters otters otters otters otters",
        "both": "otters bees clocks rivers bread",
        "long": "moon moon moon moon moon " + "tides and water come and go twice " * 100,
        "short": "moon",
        "hive": "bees hive",
    }
    write_set(
        shell.home / "words",
        documents=documents,
        queries={"q1": "otters bees", "q2": "moon"},
        qrels=[("q1", "repeated", "1"), ("q2", "long", "1")],
    )

    def found(*options: str) -> tuple[list[float], tuple[Any, ...]]:
        arguments = ("--stages", "lexical", "--set", "ingest.chunk_tokens=2000", "--json")
        done = ran("eval", "words", *arguments, *options)
        assert done.code == 0, done.err
        (run,) = done.json["runs"]
        first = [query["metrics"]["success@1"] for query in run["queries"]]
        return first, tuple(run["options"][name] for name in ("language", "k1", "b"))

    russian = ("--set", "collections.language=russian")
    assert found() == ([0, 0], ("auto", 1.2, 0.75))
    assert found("--k1", "10") == ([1, 0], ("auto", 10, 0.75))
    assert found("--b", "0", *russian) == ([0, 1], ("russian", 1.2, 0))
    assert found(*russian)[1] == ("russian", 1.2, 0.75)


def test_a_budget_that_nothing_fits_is_told_with_the_smallest(ran: Run) -> None:
    arguments = ("--sweep", "--stages", "dense", "--max-bytes-per-chunk", "100")
    done = ran("eval", "little", *arguments)
    assert done.code == 0
    assert "recommended" not in done.out
    assert "nothing is recommended: no run looks through 100 bytes a chunk or fewer" in done.err
    assert "the smallest, dense 128 none, takes --max-bytes-per-chunk 512" in done.err


def test_calibrations_say_which_run_they_are_of_and_where_they_are_kept(
    shell: Shell, ran: Run
) -> None:
    write_pairs(shell.home / "many", documents="otters {}", queries="otters {}")
    arguments = ("--stages", "dense", "--calibrate")
    done = ran("eval", "many", *arguments, "--size", "128", "--size", "256")
    assert done.code == 0, done.err
    assert "calibrated dense 128: 400 hits" in done.out
    assert "calibrated dense 256: 400 hits" in done.out
    assert "warning: the calibrations are reported and not kept" in done.err


def test_searches_tell_probabilities_once_a_collection_is_calibrated(
    shell: Shell, ran: Run
) -> None:
    write_pairs(shell.home / "many", documents="otters {}", queries="otters {}")
    mine = ("-c", "mine", "--set", "store=edge")
    assert ran("ingest", "many/corpus.jsonl", *mine).code == 0
    searching = ("search", "otters 7", *mine, "--mode", "dense", "--json")
    assert "probability" not in ran(*searching).json["hits"][0]
    done = ran("eval", "many", *mine, "--stages", "dense", "--calibrate")
    assert done.code == 0, done.err
    assert "calibrated dense: 400 hits" in done.out
    assert "kept with collection 'mine'" in done.out
    assert 0 < ran(*searching).json["hits"][0]["probability"] <= 1


def test_a_stage_without_enough_hits_costs_the_others_no_calibration(
    shell: Shell, ran: Run
) -> None:
    """Each query has a word of one document alone, so words find too little, and vectors enough."""
    write_pairs(shell.home / "rare", documents="word{} stands alone", queries="word{}")
    done = ran("eval", "rare", "--stages", "lexical,dense", "--calibrate", "--json")
    assert done.code == 2
    assert [one["run"] for one in done.json["calibrations"]] == ["dense"]
    assert "20 hits of lexical search with 20 relevant ones are too few" in done.err
    assert "ask longer queries" in done.err


def test_a_folder_that_fills_up_costs_no_figures(ran: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gateway.evaluation.written.html_page", full)
    done = ran("eval", "little", "--stages", "dense", "--json", "--run-dir", "out")
    assert done.code == 2
    assert [run["name"] for run in done.json["runs"]] == ["dense"]
    assert "cannot write into 'out': [Errno 28] No space left on device" in done.err


def test_too_few_relevant_hits_to_calibrate_cost_no_figures(shell: Shell, ran: Run) -> None:
    queries = {f"q{number}": f"why do otters hold hands {number}" for number in range(30)}
    documents = {f"d{number}": f"otters hold hands {number}" for number in range(20)}
    qrels = [(query, "d1", "1") for query in list(queries)[:19]]
    qrels += [(query, "d2", "1") for query in list(queries)[19:]]
    documents["d1"] = documents["d2"] = "bread"
    write_set(shell.home / "few", queries=queries, documents=documents, qrels=qrels)
    done = ran("eval", "few", "--stages", "lexical", "--calibrate", "--json")
    assert done.code == 2
    assert done.json["runs"][0]["metrics"]["ndcg@10"] == pytest.approx(0.0)
    assert "with 0 relevant ones are too few to calibrate" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("options", "left"),
    [
        ((), "vectors are kept in the cache: the same command goes on from there"),
        (("--set", "cache.kind=memory"), "nothing of it is kept: give --cache DIR"),
    ],
)
def test_an_evaluation_that_is_ended_leaves_no_scratch_and_says_what_is_kept(
    ran: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    left: str,
    number: signal.Signals,
) -> None:
    there: list[Path] = []

    def scratch() -> list[Path]:
        return list(tmp_path.glob("gateway-eval-*"))

    async def endless(*_: object, **__: object) -> None:
        there.extend(scratch())
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    monkeypatch.setattr("gateway.evaluation.opening.evaluate_part", endless)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    done = ran("eval", "little", "--stages", "dense", *options)
    assert (done.code, done.out) == (128 + number, "")
    assert f"interrupted; {left}" in done.err
    assert there
    assert scratch() == []


def test_a_variant_that_fails_costs_no_figures(ran: Run) -> None:
    variant = ("--variant", "encoder=tei,tei.urls=http://127.0.0.1:9")
    done = ran("eval", "little", "--stages", "dense", "--json", *variant)
    assert done.code == 2
    assert [run["name"] for run in done.json["runs"]] == ["dense"]
    assert ": --variant encoder=tei,tei.urls=http://127.0.0.1:9: " in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_evaluation_that_is_ended_where_nothing_waits_any_more_ends(
    ran: Run, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def ended(*arguments: Any, **more: Any) -> Any:
        os.kill(os.getpid(), number)
        return report_of(*arguments, **more)

    monkeypatch.setattr("gateway.evaluation.opening.report_of", ended)
    done = ran("eval", "little", "--stages", "dense", "--run-dir", "out")
    assert (done.code, done.out) == (128 + number, "")
    assert "interrupted; vectors are kept in the cache" in done.err
    assert not Path("out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_that_nobody_reads_of_is_one_all_the_same(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    async def endless(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    monkeypatch.chdir(shell.home)
    monkeypatch.setattr("gateway.evaluation.opening.evaluate_part", endless)
    reading, writing = os.pipe()
    os.close(reading)
    arguments = ("eval", "little", "--stages", "dense")
    assert left_with(writing, shell, monkeypatch, *arguments, stream="stderr") == 128 + number


def test_an_error_that_nobody_reads_of_leaves_as_it_would(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    arguments = ("search", "-c", "nowhere", "what?", "--set", "nothing=1")
    assert left_with(writing, shell, monkeypatch, *arguments, stream="stderr") == 2
