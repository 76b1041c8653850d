"""What a fresh clone installs: constraints without hosts or torch, extras, licence, make targets."""

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import gateway

ROOT = Path(__file__).parents[2]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PROJECT = cast(
    "dict[str, Any]",
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"],
)
LEFT_OUT = {"torch"}
"""Not constrained, on purpose: every build of torch must fit."""
VERSIONS = ("3.11", "3.12", "3.13")


def constrained() -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for line in CONSTRAINTS:
        requirement = Requirement(line)
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def wanted() -> list[Requirement]:
    extras = cast("dict[str, list[str]]", PROJECT["optional-dependencies"])
    lines = [*PROJECT["dependencies"], *(line for extra in extras.values() for line in extra)]
    return [Requirement(line) for line in lines]


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_constraint_is_one_exact_version_without_a_host() -> None:
    for line in CONSTRAINTS:
        requirement = Requirement(line)
        assert requirement.url is None, line
        assert re.fullmatch(r"==[0-9][0-9a-z.+]*", str(requirement.specifier)), line
        assert "://" not in line


def test_no_constraint_names_torch_or_what_only_torch_brings() -> None:
    names = set(constrained())
    assert names.isdisjoint(LEFT_OUT | {"triton", "sympy", "setuptools"})
    assert not [name for name in names if name.startswith(("nvidia-", "cuda-"))]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("requirement", wanted(), ids=lambda found: found.name)
def test_every_dependency_is_constrained_to_a_version_that_it_allows(
    requirement: Requirement, version: str
) -> None:
    name = canonicalize_name(requirement.name)
    if name in LEFT_OUT:
        return
    environment = {"python_version": version, "python_full_version": f"{version}.1"}
    applicable = [
        found
        for found in constrained()[name]
        if found.marker is None or found.marker.evaluate(environment)
    ]
    (found,) = applicable
    pinned = str(found.specifier).removeprefix("==")
    assert requirement.specifier.contains(pinned)


def test_core_and_embedded_need_no_torch() -> None:
    heavy = {"torch", "transformers", "sentence-transformers"}
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    embedded = PROJECT["optional-dependencies"]["embedded"]
    assert core.isdisjoint(heavy)
    assert {canonicalize_name(Requirement(line).name) for line in embedded}.isdisjoint(heavy)


def test_the_package_is_typed_licensed_and_of_one_version() -> None:
    assert (ROOT / "gateway" / "py.typed").is_file()
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["version"] == gateway.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{gateway.__version__}]" in changelog


def test_no_model_weights_are_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    weights = (".safetensors", ".onnx", ".gguf", ".bin", ".pt", ".pth")
    assert not [name for name in listed.stdout.splitlines() if name.endswith(weights)]


def test_make_alone_lists_every_documented_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    documented = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    listed = {re.sub(r"\x1b\[\d*m", "", line).split()[0] for line in done.stdout.splitlines()}
    assert listed == documented
    assert {"demo", "test", "check", "help"} <= documented


def test_every_script_that_make_calls_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = set(re.findall(r"scripts/[a-z_]+\.(?:py|sh)", makefile))
    assert not [name for name in called if not (ROOT / name).is_file()]


def test_ci_runs_the_tests() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        pytest.param('{"install": [{"metadata": {"version": "2.13.0+cpu"}}]}', True, id="cpu"),
        pytest.param('{"install": [{"metadata": {"version": "2.13.0"}}]}', False, id="cuda"),
    ],
)
def test_a_cpu_build_of_torch_is_told_by_its_version(report: str, *, expected: bool) -> None:
    assert load_script("install_torch").is_cpu_build(report) is expected
