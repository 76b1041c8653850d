"""The page says what the tests do: every row is injected, every injected fault is a row."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.silent_faults.catalogue import CATALOGUE
from tests.silent_faults.fault import SilentFault
from tests.silent_faults.marks import expected_to_fail, injected_by
from tests.silent_faults.page import PAGE, page

FOLDER = Path(__file__).parent
IDS = [fault.id for fault in CATALOGUE]


def functions_of(file: str) -> dict[str, object]:
    module = import_module(f"tests.silent_faults.{file.removesuffix('.py')}")
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


@pytest.mark.parametrize("row", CATALOGUE, ids=IDS)
def test_every_row_has_its_test(row: SilentFault) -> None:
    file, _, name = row.test.partition("::")
    assert row.id in injected_by(functions_of(file)[name])


def test_every_injected_fault_is_a_row_and_a_gap_is_what_is_expected_to_fail() -> None:
    injected: set[str] = set()
    gaps: set[str] = set()
    for file in FOLDER.glob("test_*.py"):
        for test in functions_of(file.name).values():
            injected |= injected_by(test)
            gaps |= injected_by(test) if expected_to_fail(test) else set()
    assert injected == set(IDS)
    assert gaps == {fault.id for fault in CATALOGUE if fault.gap}
    assert len(IDS) == len(injected), "ids are unique"


def test_every_cell_is_filled() -> None:
    for fault in CATALOGUE:
        assert all((fault.title, fault.how, fault.source, fault.check))
        assert fault.control or fault.running


def test_the_readme_tells_the_number_of_the_page() -> None:
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    told = re.search(r"caught / tried: (\d+ / \d+)\.", readme)
    assert told is not None
    assert f"**{told[1]}**" in PAGE.read_text(encoding="utf-8")


def test_the_page_is_what_the_catalogue_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make silent-faults"
