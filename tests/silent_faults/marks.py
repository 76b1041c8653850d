"""How a test says which row of the catalogue it injects."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import pytest

T = TypeVar("T", bound=Callable[..., Any])
MARK: Final = "silent_fault"


def injects(*faults: str) -> Callable[[T], T]:
    """Mark a test with the fault that it injects; several run it once each, as its `fault`."""
    if len(faults) == 1:
        return getattr(pytest.mark, MARK)(faults[0])
    return pytest.mark.parametrize(
        "fault", [pytest.param(one, marks=getattr(pytest.mark, MARK)(one)) for one in faults]
    )


def injected_by(test: object) -> set[str]:
    """Ids of the faults that a test function is marked with."""
    found: set[str] = set()
    for mark in getattr(test, "pytestmark", []):
        if mark.name == MARK:
            found.add(mark.args[0])
        elif mark.name == "parametrize" and mark.args[0] == "fault":
            found |= {inner.args[0] for param in mark.args[1] for inner in param.marks}
    return found


def expected_to_fail(test: object) -> bool:
    """Whether a test function, or one of its parameters, is marked as failing today."""
    marks = list(getattr(test, "pytestmark", []))
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize":
            marks += [inner for param in mark.args[1] for inner in getattr(param, "marks", ())]
    return any(mark.name == "xfail" for mark in marks)
