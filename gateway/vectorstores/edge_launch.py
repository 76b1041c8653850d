"""Starting a worker process and reading what it says first."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

import gateway
from gateway.errors import StoreLocked, UpstreamUnavailable
from gateway.events import Sink
from gateway.vectorstores import edge_wire as wire
from gateway.vectorstores.tuning import INDEX_FROM

SERVICE: Final = "edge"
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from gateway.vectorstores.edge_worker import main; main()"
)
_START_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What every worker of one store is started with.

    A worker without calls for `idle_seconds` indexes collections that have outgrown exact search.
    """

    root: Path
    flush_seconds: float
    sync_writes: bool
    timeout_seconds: float
    sink: Sink
    idle_seconds: float = 10.0
    index_from: int = INDEX_FROM


async def launch(
    options: WorkerOptions, idle_seconds: float
) -> tuple[asyncio.subprocess.Process, list[dict[str, Any]]]:
    """Start a worker; return it with the collections that it found.

    Raises:
        StoreLocked: another process has the folder.
        UpstreamUnavailable: the worker did not come up; it is killed.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-c", _BOOT, *_arguments(options, idle_seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_SECONDS):
            first = await wire.read_reply(process.stdout)
        return process, _greeting(options.root, first)
    except BaseException as exc:
        await kill(process)
        if isinstance(exc, TimeoutError):
            raise unavailable(f"did not start within {_START_SECONDS:g} s") from exc
        raise


async def kill(process: asyncio.subprocess.Process) -> None:
    """End a worker at once and wait until it is gone."""
    if process.returncode is None:
        process.kill()
    await process.wait()


def unavailable(why: str) -> UpstreamUnavailable:
    """Return the error of a worker that gave no answer; it may be asked again soon."""
    return UpstreamUnavailable(
        f"the worker of the embedded store {why}", service=SERVICE, retry_after_seconds=1
    )


def _arguments(options: WorkerOptions, idle_seconds: float) -> tuple[str, str]:
    orders = {
        "root": os.path.abspath(options.root),  # noqa: PTH100  spawning needs no disk
        "owner": os.getpid(),
        "flush_seconds": options.flush_seconds,
        "sync_writes": options.sync_writes,
        "idle_seconds": idle_seconds,
        "index_from": options.index_from,
    }
    home = Path(str(gateway.__file__)).parent.parent
    return str(home), msgspec.json.encode(orders).decode()


def _greeting(root: Path, first: tuple[int, str, Any] | None) -> list[dict[str, Any]]:
    if first is None:
        raise unavailable("ended while starting; see its messages on standard error")
    _, status, value = first
    if status == wire.LOCKED:
        raise StoreLocked(
            f"the embedded store at {root} is in use by process {value or '?'}: "
            "only one `gateway` may open it; stop the other one (`gateway serve`?), send "
            "requests to it over HTTP, or choose another data folder"
        )
    if status != wire.READY:
        raise unavailable(f"could not open {root}: {value}")
    return value
