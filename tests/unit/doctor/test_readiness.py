"""The cheap half of the doctor behind `/readyz`: what stops a gateway, what does not, and how often."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.api.app import create_app
from gateway.doctor.readiness import KEPT_SECONDS, ReadinessProbe
from gateway.domain.collections import CollectionSpec, StoredForm
from gateway.ports import Health
from gateway.settings import load_settings
from gateway.vectorstores.memory import MemoryStore
from tests.support.patients import joined
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio


class Foreign(MemoryStore):
    """Says of every collection that it compares by cosine."""

    looked = 0

    async def inspect(self, name: str) -> StoredForm:
        self.looked += 1
        return replace(await super().inspect(name), distance="cosine")


def by_name(found: Sequence[Health]) -> dict[str, Health]:
    return {health.name: health for health in found}


async def test_a_collection_of_another_form_makes_it_not_ready() -> None:
    store = Foreign()
    runtime = joined(settings={"store": "memory"}, store=store)
    assert by_name(await ReadinessProbe(runtime).checks())["memory"].ok
    await store.ensure(CollectionSpec("c", "p", runtime.embedder.space, 512))
    health = by_name(await ReadinessProbe(runtime).checks())["collection-form"]
    assert (health.ok, "distance cosine" in health.detail) == (False, True)


async def test_what_changes_seldom_is_looked_at_after_a_while_only() -> None:
    store, now = Foreign(), 0.0
    runtime = joined(settings={"store": "memory"}, store=store)
    await store.ensure(CollectionSpec("c", "p", runtime.embedder.space, 512))
    probe = ReadinessProbe(runtime, lambda: now)
    for _ in range(5):
        await probe.checks()
    assert store.looked == 1
    now = KEPT_SECONDS + 1
    await probe.checks()
    assert store.looked == 2


async def test_an_open_address_without_keys_makes_it_not_ready() -> None:
    open_to_all: dict[str, Any] = {"store": "memory", "server": {"host": "0.0.0.0"}}
    health = by_name(await ReadinessProbe(joined(settings=open_to_all)).checks())["api-keys"]
    assert (health.ok, "no key is set" in health.detail) == (False, True)


def app_over(*urls: str) -> Any:
    layer = {"tei": {"urls": ",".join(urls), "verify_goldens": False}, "store": "memory"}
    return create_app(load_settings(layer, environ={}))


def test_one_wrong_server_of_two_is_told_and_does_not_stop_the_gateway() -> None:
    with (
        TEIStub() as well,
        TEIStub(max_input_length=64) as short,
        TestClient(app_over(well.url, short.url)) as client,
    ):
        told = client.get("/readyz?verbose")
        checks = {check["name"]: check for check in told.json()["checks"]}
        assert checks["limits"]["ok"], "the other server reads whole chunks"
        assert short.url in checks["limits"]["detail"]
        assert told.status_code == 200, told.text


def test_a_replica_that_drifted_is_named_and_the_last_one_that_does_stops_the_gateway() -> None:
    """The canary's verdict as a caller of `/readyz` sees it, and in the metrics."""
    with TEIStub() as first:
        layer: dict[str, Any] = {
            "tei": {"urls": first.url, "verify_goldens": False},
            "store": "memory",
            "canary": {"seconds": 0.05},
        }
        with TestClient(create_app(load_settings(layer, environ={}))) as client:
            body = {"task": "query", "inputs": [{"text": "x"}]}
            assert client.post("/api/v1/embed", json=body).status_code == 200
            assert client.get("/readyz").status_code == 200
            first.fail("other-model", times=None)
            answer = client.get("/readyz?verbose")
            for _ in range(2_000):
                if answer.status_code == 503:
                    break
                answer = client.get("/readyz?verbose")
            assert answer.status_code == 503
            assert first.url in answer.text
            assert 'outcome="drift"' in client.get("/metrics").text
