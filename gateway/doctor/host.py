"""Checks of the machine and of how the gateway is offered on it."""

import tempfile
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from gateway.doctor.findings import Outcome, check, fail, ok, skip, warn
from gateway.doctor.patient import NotApplicable, Patient
from gateway.errors import GatewayError
from gateway.settings.addresses import is_loopback

CLOCK_TOLERANCE: Final = timedelta(seconds=60)
BUILT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No right clock shows an earlier time: the gateway did not exist."""
LITTLE_BYTES: Final = 2_000_000_000
TOO_LITTLE_BYTES: Final = 200_000_000


@check(
    "api-keys",
    fails="The gateway is to be bound to an address that others reach, and no key is set: anyone "
    "could read and delete everything.",
    remedy="set server.api_keys (GATEWAY_SERVER__API_KEYS), or bind 127.0.0.1",
)
async def api_keys(patient: Patient) -> list[Outcome]:
    """Whoever reaches the gateway from elsewhere needs a key."""
    server = patient.settings.server
    if server.api_keys:
        return [ok(f"{len(server.api_keys)} keys are accepted on {server.host}")]
    if is_loopback(server.host):
        return [ok(f"only this machine reaches {server.host}")]
    if server.allow_open:
        return [warn(f"{server.host} is open to whoever reaches it, as server.allow_open says")]
    return [fail(f"{server.host} can be reached by others and no key is set")]


@check(
    "clock",
    fails="This machine's clock differs from a server's or the file system's by more than a minute: "
    "`ingested_at` and filters by time mean something else than they say.",
    remedy="synchronise the clocks (NTP) of this machine and of the servers",
)
async def clock(patient: Patient) -> list[Outcome]:
    """The clock agrees with that of the servers, and with the file system's below data_dir."""
    if patient.now() < BUILT:
        return [fail(f"the clock shows {patient.now():%Y-%m-%d}, which is long past")]
    found = [_compared(patient, when, where) for where, when in await _other_clocks(patient)]
    return found or [skip("no server tells its time, and nothing can be written below data_dir")]


@check(
    "disk-space",
    fails="Less than 200 MB are free below data_dir, where writes end up: they will soon fail.",
    remedy="free some space, or move data_dir (GATEWAY_DATA_DIR) or the cache to a larger disk",
)
async def disk_space(patient: Patient) -> list[Outcome]:
    """There is room for what the embedded store and the cache on disk will write."""
    settings = patient.settings
    folders = [settings.data_dir] if settings.store_kind == "edge" else []
    if settings.cache.kind == "disk":
        folders.append(settings.cache.path or settings.data_dir / "cache")
    if not folders:
        return [skip("nothing is kept on this machine's disk")]
    return [_room(patient, _existing(folder)) for folder in dict.fromkeys(folders)]


CHECKS: Final = (api_keys, clock, disk_space)


async def _other_clocks(patient: Patient) -> list[tuple[str, datetime]]:
    found: list[tuple[str, datetime]] = []
    try:
        servers = await patient.servers()
    except NotApplicable:
        servers = []
    for server in servers:
        try:
            date = await server.date()
        except GatewayError:
            continue  # another check tells that it does not answer
        if date is not None and (when := _read_date(date)) is not None:
            found.append((server.where, when))
    folder = _existing(patient.settings.data_dir)
    written = _file_time(folder)
    return found if written is None else [*found, (str(folder), written)]


def _read_date(header: str) -> datetime | None:
    """The time of a `Date` header, None where it cannot be read."""
    try:
        when = parsedate_to_datetime(header)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _file_time(folder: Path) -> datetime | None:
    """When a file written below the folder now was written, by its file system."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".gateway-clock-") as file:
            return datetime.fromtimestamp(Path(file.name).stat().st_mtime, UTC)
    except OSError:
        return None


def _compared(patient: Patient, when: datetime, where: str) -> Outcome:
    off = abs(patient.now() - when)
    detail = f"{off.total_seconds():.0f} s apart"
    return ok(detail, where) if off <= CLOCK_TOLERANCE else fail(detail, where)


def _room(patient: Patient, folder: Path) -> Outcome:
    free = patient.free_bytes(folder)
    detail = f"{free / 1e9:.1f} GB are free"
    if free < TOO_LITTLE_BYTES:
        return fail(detail, str(folder))
    return warn(detail, str(folder)) if free < LITTLE_BYTES else ok(detail, str(folder))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())
