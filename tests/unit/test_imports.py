"""What importing the package costs, and that the public names are what the docs say."""

import subprocess
import sys

import pytest

HEAVY = ("litestar", "torch", "sentence_transformers", "qdrant_client", "qdrant_edge", "numpy")


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = loaded_by("import gateway")
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    "module",
    [
        "gateway.bootstrap",
        "gateway.cli.app",
        "gateway.doctor",
        "gateway.evaluation.opening",
        "gateway.parity",
        "gateway.ports",
    ],
)
def test_joining_the_parts_loads_no_adapter_that_is_not_used(module: str) -> None:
    loaded = loaded_by(f"import {module}")
    assert loaded.isdisjoint(set(HEAVY) - {"numpy"})
    assert not any(name.startswith("gateway.encoders.") for name in loaded)
    assert loaded.isdisjoint(
        f"gateway.vectorstores.{name}" for name in ("edge", "memory", "qdrant")
    )
