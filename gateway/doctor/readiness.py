"""The cheap checks, behind `/readyz`: bounded in time, none that embeds."""

import asyncio
from typing import Final

from gateway.bootstrap import Runtime
from gateway.doctor import run_check
from gateway.doctor.encoder import encoder_reachable
from gateway.doctor.findings import Check, Status
from gateway.doctor.host import disk_space
from gateway.doctor.patient import Patient
from gateway.doctor.store import store_reachable
from gateway.ports import Health

HEALTH_SECONDS: Final = 5.0
"""How long one check may take."""


async def ready_checks(runtime: Runtime) -> list[Health]:
    """State of encoder, store, disk and reranker; one that is silent too long has failed."""
    patient = Patient.of(runtime)
    named = (
        (runtime.embedder.encoder.info.kind, encoder_reachable),
        (runtime.settings.store_kind, store_reachable),
        (disk_space.id, disk_space),
    )
    found = await asyncio.gather(
        *(_asked(name, check, patient) for name, check in named), _reranker(runtime)
    )
    return [health for group in found for health in group]


async def _reranker(runtime: Runtime) -> list[Health]:
    """A configured reranker; one whose failures are skipped does not stop the gateway."""
    if runtime.reranker is None:
        return []
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            health = await runtime.reranker.health()
    except TimeoutError:
        health = Health("reranker", False, f"did not answer within {HEALTH_SECONDS:g} s")
    if health.ok or runtime.settings.rerank.on_failure == "error":
        return [health]
    return [Health(health.name, True, f"searches go without it: {health.detail}")]


async def _asked(name: str, check: Check, patient: Patient) -> list[Health]:
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            findings = await run_check(check, patient)
    except TimeoutError:
        return [Health(name, False, f"did not answer within {HEALTH_SECONDS:g} s")]
    ours = check is disk_space
    return [
        Health(name if ours else one.where or name, one.status is not Status.FAIL, one.detail)
        for one in findings
        if one.status is not Status.SKIP
    ]
