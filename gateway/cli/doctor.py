"""`gateway doctor`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import (
    ASKED_WRONGLY,
    FAILED,
    Config,
    Json,
    Set,
    out,
    print_json,
    read_settings,
    run_for_verdict,
)
from gateway.errors import GatewayError
from gateway.observability.logs import configure_logs
from gateway.wiring.consistency import require_consistent

if TYPE_CHECKING:
    from gateway.doctor import Finding
    from gateway.settings import Settings

MARKS = {
    "ok": "[green]  ok[/]",
    "warn": "[yellow]warn[/]",
    "fail": "[red]fail[/]",
    "skip": "[dim]skip[/]",
}


def doctor(
    as_json: Json = False,
    list_checks: Annotated[
        bool, typer.Option("--list", help="List the checks and what each proves; nothing is run.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Do what is safe about failures, and say what was done.")
    ] = False,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Check the parts in force: servers, versions, dtype, vectors, prompts, store, collections, host.

    Exit codes: 0 all well, 1 a check failed, 2 nothing could be checked.

    Example: gateway doctor --set tei.urls=http://127.0.0.1:8081
    """
    if list_checks:
        _list(as_json=as_json)
        return
    try:
        settings = read_settings(config, assignments)
        require_consistent(settings)
    except GatewayError as exc:
        _show_unusable(exc, as_json=as_json)
        raise typer.Exit(ASKED_WRONGLY) from None
    findings = run_for_verdict(lambda: _examined(settings, fix=fix))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(FAILED)


async def _examined(settings: "Settings", *, fix: bool) -> "Sequence[Finding]":
    from gateway.doctor import examine, mend, open_patient  # noqa: PLC0415

    level = "warning" if settings.log.level == "info" else settings.log.level
    configure_logs(level, "console")
    async with open_patient(settings) as patient:
        findings = await examine(patient)
        return await mend(patient, findings) if fix else findings


def _show_unusable(exc: GatewayError, *, as_json: bool) -> None:
    from gateway.doctor import Finding, Status  # noqa: PLC0415

    finding = Finding("configuration", Status.FAIL, str(exc), "mend it and run again")
    if as_json:
        print_json([asdict(finding)])
    else:
        _print([finding])


def _print(findings: "Sequence[Finding]") -> None:
    for finding in findings:
        out.print(f"{MARKS[finding.status]}  [bold]{finding.check}[/]  ", end="")
        where = f"{finding.where}: " if finding.where else ""
        out.print(where + ("fixed: " if finding.fixed else "") + finding.detail, markup=False)
        if finding.remedy:
            out.print(f"      -> {finding.remedy}", markup=False)


def _list(*, as_json: bool) -> None:
    from gateway.doctor import CHECKS  # noqa: PLC0415

    if as_json:
        keys = ("id", "proves", "fails", "remedy")
        print_json([{key: getattr(check, key) for key in keys} for check in CHECKS.values()])
        return
    for check in CHECKS.values():
        out.print(f"[bold]{check.id}[/]  ", end="")
        out.print(check.proves, markup=False)
