"""Checks of the store itself."""

from typing import Final

from gateway.doctor.findings import Outcome, check, fail, ok
from gateway.doctor.patient import Patient


@check(
    "store-reachable",
    fails="It is down, older than Qdrant 1.16, or another process holds the embedded store.",
    remedy="start it, upgrade it, or set GATEWAY_QDRANT__URL to where it runs",
)
async def store_reachable(patient: Patient) -> list[Outcome]:
    """The store answers and is new enough."""
    if patient.store is None:
        patient.down["store"] = "not opened"
        return [fail(str(patient.errors["store"]), patient.settings.store_kind)]
    health = await patient.store.health()
    if health.ok:
        return [ok(health.detail, health.name)]
    patient.down["store"] = health.detail
    return [fail(health.detail, health.name)]


CHECKS: Final = (store_reachable,)
