"""One row of the catalogue, and what several rows say."""

from dataclasses import dataclass
from typing import Final

RECORDING: Final = "recorded texts must come out again"
EVERY_ANSWER: Final = "the same, in every answer"
BY_CANARY: Final = "the canary: now and then, and soon after a reconnect"
OPEN: Final = "looked at when a collection is first opened"
SERVERS: Final = "test_servers.py::test_a_server_that_is_wrong_from_the_start_is_refused"
READING: Final = "test_prompts.py::test_a_server_that_changes_what_the_model_reads_is_refused"


@dataclass(frozen=True, slots=True)
class SilentFault:
    """One row. `how` it happens in the field, by whose word (`source`), and what `check` stops it.

    `running` says who stops it when it begins later; `test` is `file.py::function` in
    tests/silent_faults/. A `control` must not be stopped; a `gap` says what still gets through, and has
    a test that is expected to fail.
    """

    id: str
    title: str
    how: str
    source: str
    check: str
    running: str
    test: str
    control: bool = False
    gap: str = ""
