"""Checks of the machine, and what opening a patient keeps of the parts that cannot be opened."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.doctor import CHECKS, Patient, Status, examine, open_patient
from gateway.doctor.readiness import ready_checks
from gateway.errors import ConfigurationError
from gateway.settings import load_settings
from tests.support.patients import before, found_by, joined, status_of
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

LATER = timedelta(minutes=10)


@pytest.mark.parametrize(
    ("server", "status"),
    [
        ({}, Status.OK),
        ({"host": "0.0.0.0", "api_keys": "a-key"}, Status.OK),
        ({"host": "0.0.0.0"}, Status.FAIL),
        ({"host": "gateway.example"}, Status.FAIL),
        ({"host": "0.0.0.0", "allow_open": True}, Status.WARN),
    ],
)
async def test_who_may_reach_it(server: dict[str, Any], status: Status) -> None:
    assert await status_of("api-keys", Patient.of(joined(settings={"server": server}))) is status


async def test_a_clock_that_is_off_is_found(tmp_path: Path) -> None:
    patient = Patient.of(joined(settings={"data_dir": tmp_path / "not" / "there"}))
    assert await status_of("clock", patient) is Status.OK
    assert os.listdir(tmp_path) == []  # noqa: PTH208  iterdir blocks alike
    patient.now = lambda: datetime.now(UTC) + LATER
    assert await status_of("clock", patient) is Status.FAIL
    patient.now = lambda: datetime(1970, 1, 1, tzinfo=UTC)
    assert await status_of("clock", patient) is Status.FAIL


async def test_a_server_that_does_not_answer_hides_no_other_clock(tmp_path: Path) -> None:
    async with before(TEIStub(), data_dir=tmp_path) as patient:
        (finding,) = await found_by("clock", patient)
    assert (finding.status, finding.where) == (Status.OK, str(tmp_path))


@pytest.mark.parametrize(
    ("free", "status"),
    [(50_000_000_000, Status.OK), (1_000_000_000, Status.WARN), (1_000_000, Status.FAIL)],
)
async def test_room_on_the_disk(free: int, status: Status, tmp_path: Path) -> None:
    layer = {"store": "edge", "data_dir": tmp_path}
    assert await status_of("disk-space", with_room(free, layer)) is status


async def test_room_matters_only_where_something_is_kept(tmp_path: Path) -> None:
    assert await status_of("disk-space", with_room(0, {"store": "memory"})) is Status.SKIP
    layer = {"store": "memory", "cache": {"kind": "disk", "path": tmp_path}}
    assert await status_of("disk-space", with_room(0, layer)) is Status.FAIL


def with_room(free: int, layer: dict[str, Any]) -> Patient:
    patient = Patient.of(joined(settings=layer))
    patient.free_bytes = lambda _folder: free
    return patient


async def test_readiness_asks_the_cheap_checks_and_embeds_nothing() -> None:
    found = await ready_checks(joined(settings={"store": "memory"}))
    assert [(health.name, health.ok) for health in found] == [("fake", True), ("memory", True)]
    found = await ready_checks(joined(settings={"store": "edge"}))
    assert [health.name for health in found] == ["fake", "memory", "disk-space"]


async def test_a_server_that_is_refused_is_examined_all_the_same() -> None:
    with TEIStub(model_dtype="float16", auto_truncate=True) as stub:
        layer = {"tei": {"urls": stub.url}, "store": "memory", "canary": {"seconds": 1}}
        async with open_patient(load_settings(layer, environ={})) as patient:
            findings = await examine(patient)
    by_check = {finding.check: finding for finding in findings}
    assert set(by_check) == set(CHECKS)
    assert by_check["encoder-reachable"].status is Status.FAIL
    assert "float16" in by_check["encoder-reachable"].detail
    assert by_check["dtype"].status is Status.FAIL
    assert by_check["auto-truncate"].status is Status.WARN
    assert by_check["norms"].status is Status.OK
    assert by_check["prompts"].status is Status.SKIP


async def test_settings_that_cannot_work_together_open_nothing() -> None:
    with pytest.raises(ConfigurationError):
        async with open_patient(load_settings({"encoder": "tei"}, environ={})):
            pass


def test_every_check_says_what_it_proves_how_it_fails_and_what_to_do() -> None:
    assert len(CHECKS) >= 25
    for name, check in CHECKS.items():
        assert name == check.id
        assert check.proves.endswith(".")
        assert check.fails.endswith(".")
        assert check.remedy
