"""Shared fixtures. Threads are pinned to one: two fight each other on small machines."""

import os

import pytest

for _name in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TOKENIZERS_PARALLELISM",
):
    os.environ[_name] = "false" if _name == "TOKENIZERS_PARALLELISM" else "1"  # noqa: TID251


pytest_plugins = ["tests.support.fixtures"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
