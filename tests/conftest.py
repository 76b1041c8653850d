"""Shared fixtures and options. Threads are pinned to one: two fight each other on small machines."""

import os
import random

import pytest

for _name in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TOKENIZERS_PARALLELISM",
):
    os.environ[_name] = "false" if _name == "TOKENIZERS_PARALLELISM" else "1"  # noqa: TID251


_DRAWS = {"low": min, "high": max}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--draws",
        choices=_DRAWS,
        help="Every random pause at its shortest or its longest: what passes by chance then fails.",
    )


def pytest_configure(config: pytest.Config) -> None:
    if (draws := config.getoption("--draws")) is not None:
        random.uniform = _DRAWS[draws]


pytest_plugins = ["tests.support.fixtures"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous fixtures may have any scope: an event loop lives as long as one of them is open."""
    return "asyncio"
