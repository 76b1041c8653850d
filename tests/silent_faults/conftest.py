"""The recorded reference and the healthy model behind the servers, once for the session; the number."""

import asyncio
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from gateway.encoders.local import LocalEncoder
from tests.silent_faults.catalogue import CATALOGUE
from tests.silent_faults.marks import MARK
from tests.silent_faults.trial import Bench, written
from tests.support.tei_stub import TEIStub

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

from tests.silent_faults.reference import Reference, profile_toml
from tests.support.tiny_gemma import TINY_PROFILE

Server: TypeAlias = Callable[..., TEIStub]


@pytest.fixture(scope="session")
def reference(tiny_gemma: Path) -> Reference:
    return Reference(tiny_gemma)


@pytest.fixture(scope="session")
def bench(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A gateway with the tiny model's profile and a recording of its reference; no server yet."""
    folder = tmp_path_factory.mktemp("recorded")
    recording = folder / "recording.json"
    reference.record(TINY_PROFILE).save(recording)
    profiles = written(folder / "profiles.toml", profile_toml(TINY_PROFILE))
    settings = {
        "profile": TINY_PROFILE.name,
        "profiles_file": str(profiles),
        "recording": str(recording),
    }
    return Bench(reference, settings)


@pytest.fixture(scope="session")
def tiny_encoder(tiny_gemma: Path) -> Generator[LocalEncoder, None, None]:
    encoder = asyncio.run(LocalEncoder.load(str(tiny_gemma), device="cpu"))
    yield encoder
    asyncio.run(encoder.aclose())


@pytest.fixture
def server(tiny_encoder: LocalEncoder) -> Server:
    """Makes servers over the healthy checkpoint; options are those of their contract."""

    def make(**options: Any) -> TEIStub:
        given: dict[str, Any] = {
            "encoder": tiny_encoder,
            "model_id": TINY_PROFILE.model_id,
            "prompts": tiny_encoder.prompts,
        }
        return TEIStub(**(given | options))

    return make


@pytest.fixture(autouse=True)
def _tell_the_fault(request: pytest.FixtureRequest) -> None:
    """Leave the id of the injected fault in the report of the test."""
    mark = request.node.get_closest_marker(MARK)
    if mark is not None:
        request.node.user_properties.append((MARK, mark.args[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the number: a row is caught when all its tests passed, and counts when one was skipped."""
    good: dict[str, bool] = {}
    skipped: set[str] = set()
    for outcome in ("passed", "failed", "error", "xfailed", "xpassed", "skipped"):
        for report in terminalreporter.getreports(outcome):
            for name, fault in getattr(report, "user_properties", []):
                if name == MARK:
                    good[fault] = good.get(fault, True) and outcome == "passed"
                    if outcome == "skipped":
                        skipped.add(fault)
    controls = {fault.id for fault in CATALOGUE if fault.control}
    tried = [caught for fault, caught in good.items() if fault not in controls]
    accepted = [caught for fault, caught in good.items() if fault in controls]
    if good:
        terminalreporter.write_sep("=", "silent faults")
        terminalreporter.write_line(f"silent faults caught / tried: {sum(tried)} / {len(tried)}")
        terminalreporter.write_line(f"controls accepted: {sum(accepted)} / {len(accepted)}")
        if not_run := sorted(fault for fault in skipped if not good[fault]):
            terminalreporter.write_line(f"tried by no test here (skipped): {', '.join(not_run)}")
