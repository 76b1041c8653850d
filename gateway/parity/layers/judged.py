"""How every layer reports: a status, figures, and sentences about what failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

from gateway.parity.bars import Bars

Figure: TypeAlias = float | int | str | bool


class Status(StrEnum):
    OK = "ok"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Judged:
    """A layer held against its bars. `proves` says what an ok means; `failures` what is wrong.

    A layer that was skipped says why in `note`.
    """

    layer: str
    proves: str
    status: Status
    figures: Mapping[str, Figure]
    failures: tuple[str, ...] = ()
    note: str = ""


class Layer(Protocol):
    """The result of one layer."""

    def judge(self, bars: Bars) -> Judged: ...


def judged(
    layer: str, proves: str, figures: Mapping[str, Figure], failures: Sequence[str]
) -> Judged:
    """A layer that was compared: ok unless something failed."""
    status = Status.FAIL if failures else Status.OK
    return Judged(layer, proves, status, figures, tuple(failures))


def skipped(layer: str, proves: str, why: str) -> Judged:
    """A layer that could not be compared, with the reason."""
    return Judged(layer, proves, Status.SKIP, {}, note=why)
