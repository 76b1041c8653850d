"""The cheap half of the doctor, behind `/readyz`: bounded in time, nothing that embeds.

Encoder, store, disk and reranker are asked each time. What changes seldom (what servers say of
themselves, the form of collections, keys) is looked at again after a while only, so that probes load
no server.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from gateway.bootstrap import Runtime
from gateway.doctor import collections, run_check, servers
from gateway.doctor.encoder import encoder_reachable
from gateway.doctor.findings import Check, Status
from gateway.doctor.host import api_keys, disk_space
from gateway.doctor.patient import Patient
from gateway.doctor.store import store_reachable
from gateway.ports import Health

HEALTH_SECONDS: Final = 5.0
"""How long one check may take."""
KEPT_SECONDS: Final = 30.0
"""How long the answer of a check that changes seldom is believed."""
SELDOM: Final = (*servers.CHECKS, collections.form, api_keys)


class ReadinessProbe:
    """Whether one running gateway can serve requests rightly."""

    def __init__(self, runtime: Runtime, now: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._now = now
        self._kept: list[Health] = []
        self._until = float("-inf")
        self._looking = asyncio.Lock()

    async def checks(self) -> list[Health]:
        """What is asked each time and, where that is well, what is looked at seldom."""
        found = await ready_checks(self._runtime)
        if not all(health.ok for health in found):
            return found
        return [*found, *await self._seldom()]

    async def _seldom(self) -> list[Health]:
        async with self._looking:
            if self._now() >= self._until:
                patient = Patient.of(self._runtime)
                try:
                    found = [await _verdict(check, patient) for check in SELDOM]
                finally:
                    await patient.aclose()
                self._kept = [health for health in found if health is not None]
                self._until = self._now() + KEPT_SECONDS
            return self._kept


async def _verdict(check: Check, patient: Patient) -> Health | None:
    """One check in a line; of several servers, one that is well is enough: the others are left out."""
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            findings = await run_check(check, patient)
    except TimeoutError:
        return Health(check.id, False, f"did not answer within {HEALTH_SECONDS:g} s")
    told = [one for one in findings if one.status is not Status.SKIP]
    if not told:
        return None
    ill = [one for one in told if one.status is Status.FAIL]
    enough = check in servers.CHECKS and len(ill) < len(told)
    shown = "; ".join(f"{one.where}: {one.detail}" if one.where else one.detail for one in told)
    return Health(check.id, not ill or enough, shown)


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
