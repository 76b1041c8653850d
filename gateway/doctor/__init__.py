"""One function per check: what it proves, how it failed, what to do. Read only unless asked to mend."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gateway.bootstrap import Runtime
from gateway.doctor import answers, collections, encoder, host, reranker, servers, store
from gateway.doctor.findings import Check, Finding, Fix, Outcome, Status, skip
from gateway.doctor.findings import fail as failed
from gateway.doctor.patient import NotApplicable, Patient, open_patient
from gateway.errors import GatewayError

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Patient",
    "Status",
    "examine",
    "mend",
    "open_patient",
    "run_check",
]

CHECKS: Final[Mapping[str, Check]] = MappingProxyType(
    {
        check.id: check
        for check in (
            *encoder.CHECKS[:1],  # first of all, for others have nothing to ask without it
            *store.CHECKS,
            *servers.CHECKS,
            *answers.CHECKS,
            *encoder.CHECKS[1:],
            *collections.CHECKS,
            *reranker.CHECKS,
            *host.CHECKS,
        )
    }
)


async def examine(subject: Patient | Runtime) -> list[Finding]:
    """Run every check in order; one that cannot run fails or is skipped with a reason, never ok."""
    if isinstance(subject, Runtime):
        patient = Patient.of(subject)
        try:
            return await examine(patient)
        finally:
            await patient.aclose()
    return [finding for check in CHECKS.values() for finding in await run_check(check, subject)]


async def run_check(check: Check, patient: Patient) -> list[Finding]:
    """Run one check; its errors are findings."""
    try:
        outcomes = list(await check.run(patient))
    except NotApplicable as exc:
        outcomes = [skip(str(exc))]
    except GatewayError as exc:
        outcomes = [failed(str(exc))]
    if not outcomes:
        outcomes = [failed("it found nothing to say, which proves nothing")]
    return [_finding(check, outcome) for outcome in outcomes]


async def mend(patient: Patient, findings: list[Finding]) -> list[Finding]:
    """Do what is safe about the failures and ask again; the new findings say what was done, or why not."""
    ill = {finding.check for finding in findings if finding.status is Status.FAIL}
    found: list[Finding] = []
    for check in CHECKS.values():
        if check.fix is None or check.id not in ill:
            continue
        found += await _mended(check, check.fix, patient) + await run_check(check, patient)
        ill.discard(check.id)
    mended = {finding.check for finding in found}
    return [finding for finding in findings if finding.check not in mended] + found


async def _mended(check: Check, fix: Fix, patient: Patient) -> list[Finding]:
    """What was done about one failure; an error on the way is a finding, and hides no other."""
    try:
        done = await fix(patient)
    except (NotApplicable, GatewayError) as exc:
        return [_finding(check, failed(f"not mended: {exc}"))]
    return [_finding(check, Outcome(Status.OK, what), fixed=what) for what in done]


def _finding(check: Check, outcome: Outcome, fixed: str = "") -> Finding:
    remedy = outcome.remedy or check.remedy
    well = outcome.status in {Status.OK, Status.SKIP}
    return Finding(
        check.id, outcome.status, outcome.detail, "" if well else remedy, outcome.where, fixed
    )
