"""Which software took part."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Final

OURS: Final = ("tei-rag-gateway", "numpy", "tokenizers")


def package_versions(names: Sequence[str]) -> dict[str, str]:
    """Versions of the packages that are installed."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def own_versions() -> dict[str, str]:
    """Versions of this side: Python, the machine, and what computes the comparison."""
    machine = f"{platform.system()} {platform.machine()}"
    return {"python": platform.python_version(), "machine": machine, **package_versions(OURS)}
