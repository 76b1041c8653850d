"""The benchmarks can fail: a wrong vector is caught, a missed target is told."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of `scripts/`; processes started from it import this checkout."""
    monkeypatch.syspath_prepend(SCRIPTS)  # pyright: ignore[reportUnknownMemberType]
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return importlib.import_module


def run_client(bench: Callable[[str], Any], client: str, *stub: str) -> tuple[int, str, str]:
    """Exit status, standard output and error of a client over 100 texts."""
    http = bench("bench_http")
    port = http.free_port()
    with http.process(sys.executable, str(SCRIPTS / "bench_stub.py"), str(port), *stub):
        http.wait_for(f"http://127.0.0.1:{port}/health")
        command = [sys.executable, str(SCRIPTS / "bench_tei_client.py"), "--client", client]
        done = subprocess.run(
            [*command, "--port", str(port), "--job", "bulk", "--texts", "100", "--patient"],
            capture_output=True,
            text=True,
            check=False,
        )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("client", ["gateway", "base64", "json-stdlib"])
def test_a_client_is_measured_over_faults(bench: Callable[[str], Any], client: str) -> None:
    faults = ("--compute", "gpu", "--overloaded", "0.2", "--reset", "0.1")
    status, out, err = run_client(bench, client, *faults)
    assert status == 0, err
    found = json.loads(out)
    assert found["seconds"] > 0
    assert found["vectors_mb"] == pytest.approx(100 * 768 * 4 / 1e6)


@pytest.mark.parametrize("client", ["gateway", "base64"])
def test_a_vector_of_another_text_fails_the_run(bench: Callable[[str], Any], client: str) -> None:
    status, _, err = run_client(bench, client, "--swapped", "1")
    assert status != 0
    assert "has not got its own vector" in err


def test_a_text_has_one_unit_vector_of_its_own(bench: Callable[[str], Any]) -> None:
    rows = bench("bench_rows")
    texts = rows.corpus(200)
    vectors = rows.rows_of(texts)
    rows.require_rows(texts, vectors)
    assert (vectors**2).sum(axis=1) == pytest.approx(1, abs=1e-5)
    with pytest.raises(rows.WrongVectorsError, match="text 7 "):
        rows.require_rows([*texts[:7], texts[8], *texts[8:]], vectors)


def rounds_of(bench: Callable[[str], Any], **changed: dict[str, float]) -> dict[str, Any]:
    """Results in which all clients are equal, but for those given."""
    same = {
        "seconds": 1.0, "cpu": 1.0, "p50": 1.0, "p99": 1.0, "rate": 1.0, "peak_mb": 100.0,
        "vectors_mb": 61.0, "requests": 625.0, "texts": 20_000.0,
    }  # fmt: skip
    serve = {
        "added p50 ms": 0.5,
        "requests/s at 64": 3000.0,
        "texts/s in batches of 32": 1.0,
    }
    runs = bench("bench_tei").plan(20_000, 2_000, 512)
    found = {run.name: [same | changed.get(run.name.replace(" ", "_"), {})] for run in runs}
    return found | {"serve": [serve]}


def test_every_target_can_be_met_and_missed(bench: Callable[[str], Any]) -> None:
    report = bench("bench_tei_report")
    fast = {"seconds": 0.5}
    good = report.rows(rounds_of(bench, zero_gateway=fast), 20_000)
    assert {row.met for row in good} == {True, None}
    slow = {"seconds": 2.0, "cpu": 3.0, "p50": 1.6, "p99": 5.0, "peak_mb": 1000.0}
    runs = ("zero_gateway", "gpu_gateway", "single_1_gateway")
    bad = report.rows(rounds_of(bench, **dict.fromkeys(runs, slow)), 20_000)
    missed = [row.measure for row in bad if row.met is False]
    assert len(missed) == 6


def test_the_page_keeps_what_is_around_the_results(
    bench: Callable[[str], Any], tmp_path: Path
) -> None:
    report, pages = bench("bench_tei_report"), bench("bench_page")
    page = tmp_path / "page.md"
    begin = "<!-- bench-tei: begin, written by scripts/bench_tei.py --write -->"
    page.write_text(f"before\n{begin}\nold\n<!-- bench-tei: end -->\nafter\n", encoding="utf-8")
    table = [pages.Row("speed", "at least 1", "2", met=True)]
    pages.write(report.markdown("Setting.", table, {"another": "1 / 2"}), "bench-tei", page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| speed | at least 1 | 2 | met |" in text
    assert "| another | 1 / 2 |" in text
