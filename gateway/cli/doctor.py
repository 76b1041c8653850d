"""`gateway doctor`."""

from collections.abc import Sequence
from dataclasses import asdict

import typer

from gateway.cli.common import (
    ASKED_WRONGLY,
    FAILED,
    Config,
    Json,
    Set,
    fail,
    out,
    print_json,
    read_settings,
    run,
    runtime_of,
)
from gateway.doctor import Finding, Status, examine
from gateway.errors import ConfigurationError, GatewayError

MARKS = {
    Status.OK: "[green]  ok[/]",
    Status.WARN: "[yellow]warn[/]",
    Status.FAIL: "[red]fail[/]",
    Status.SKIP: "[dim]skip[/]",
}


def doctor(as_json: Json = False, config: Config = None, assignments: Set = None) -> None:
    """Check the parts in force: reachability, versions, dtype, sizes, norms, prompts, collections.

    Exit codes: 0 all well, 1 a check failed, 2 nothing could be checked.

    Example: gateway doctor --set tei.urls=http://127.0.0.1:8081
    """

    async def main() -> Sequence[Finding]:
        try:
            settings = read_settings(config, assignments)
            uncached = settings.cache.model_copy(update={"kind": "none"})  # ask the model itself
            settings = settings.model_copy(update={"cache": uncached})
            async with runtime_of(settings) as runtime:
                return await examine(runtime)
        except ConfigurationError as exc:
            return [Finding("configuration", Status.FAIL, str(exc), "mend it and run again")]

    try:
        findings = run(main)
    except GatewayError as exc:
        fail(exc)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    failed = [finding for finding in findings if finding.status is Status.FAIL]
    if failed:
        raise typer.Exit(ASKED_WRONGLY if failed[0].check == "configuration" else FAILED)


def _print(findings: Sequence[Finding]) -> None:
    for finding in findings:
        out.print(f"{MARKS[finding.status]}  [bold]{finding.check}[/]  ", end="")
        out.print(finding.detail, markup=False)
        if finding.remedy:
            out.print(f"      -> {finding.remedy}", markup=False)
