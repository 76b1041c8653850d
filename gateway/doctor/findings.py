"""What a check is, and what it finds."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from inspect import cleandoc
from typing import TypeAlias

from gateway.doctor.patient import Patient


class Status(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One thing that a check found, at `where` if it looked at several places."""

    status: Status
    detail: str
    where: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `remedy` says what to do when it is not ok, `fixed` what was done."""

    check: str
    status: Status
    detail: str
    remedy: str = ""
    where: str = ""
    fixed: str = ""


Run: TypeAlias = Callable[[Patient], Awaitable[Sequence[Outcome]]]
Fix: TypeAlias = Callable[[Patient], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Check:
    """One question with its stable `id`: what an ok proves, how it fails, what to do then.

    `fix` does what is safe about it and returns what it did.
    """

    id: str
    proves: str
    fails: str
    remedy: str
    run: Run
    fix: Fix | None = None


def check(name: str, *, fails: str, remedy: str, fix: Fix | None = None) -> Callable[[Run], Check]:
    """Make a check of a function; its docstring says what an ok proves."""

    def made(run: Run) -> Check:
        return Check(name, cleandoc(run.__doc__ or ""), fails, remedy, run, fix)

    return made


def ok(detail: str, where: str = "") -> Outcome:
    return Outcome(Status.OK, detail, where)


def warn(detail: str, where: str = "", *, remedy: str = "") -> Outcome:
    return Outcome(Status.WARN, detail, where, remedy)


def fail(detail: str, where: str = "", *, remedy: str = "") -> Outcome:
    return Outcome(Status.FAIL, detail, where, remedy)


def skip(reason: str, where: str = "") -> Outcome:
    return Outcome(Status.SKIP, reason, where)
