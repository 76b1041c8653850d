"""What the embedded store promises when something is killed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import gateway
from gateway.domain.documents import chunk_id
from gateway.errors import StoreLocked, UpstreamTimeout, UpstreamUnavailable
from gateway.events import Event, WorkerRestarted
from gateway.vectorstores.edge import EdgeStore
from gateway.vectorstores.edge_launch import WorkerOptions
from gateway.vectorstores.edge_process import EdgeProcess
from tests.contract.stores import SPEC, asking, drained, made, unit

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="speaks of POSIX signals"),
]

HOME = Path(str(gateway.__file__)).parent.parent
INGESTS_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from gateway.vectorstores.edge import EdgeStore
from tests.contract.stores import SPEC, made

async def main():
    store = await EdgeStore.open(Path(sys.argv[1]), sync_writes=sys.argv[2] == "sync")
    await store.ensure(SPEC)
    for number in range(1_000_000):
        await store.upsert("docs", [made("d", number * 16 + i) for i in range(16)])
        print(number, flush=True)

asyncio.run(main())
"""


def kill_worker(store: EdgeStore) -> int:
    process = store.worker_pid
    assert process is not None
    os.kill(process, signal.SIGKILL)
    return process


async def test_killing_the_worker_amid_upserts_loses_no_acknowledged_point(tmp_path: Path) -> None:
    events: list[Event] = []
    store = await EdgeStore.open(tmp_path, sink=events.append)
    await store.ensure(SPEC)
    acknowledged: set[int] = set()

    killed: list[int] = []
    failures: list[str] = []

    async def write(base: int) -> None:
        index = base
        while len(killed) < 3 or index < base + 20:
            try:
                await store.upsert("docs", [made("d", index)])
            except UpstreamUnavailable as error:
                failures.append(error.service)
                continue
            acknowledged.add(index)
            index += 1

    async def kill_three_times() -> None:
        while len(killed) < 3:
            seen = len(acknowledged)
            await _until(lambda seen=seen: len(acknowledged) > seen + 20)
            killed.append(kill_worker(store))

    await asyncio.gather(kill_three_times(), *(write(base * 10**6) for base in range(4)))
    await _until(lambda: len(events) == 3)
    found = {stored.chunk.index for stored in await drained(store, "docs")}
    assert found >= acknowledged
    assert len(found - acknowledged) <= 4  # one a writer: applied, but the worker died unheard
    assert len(set(killed)) == 3
    assert set(failures) == {"edge"}
    assert (await store.query("docs", asking(made("d", 5).vector, 1)))[0].score == 1.0
    restarts = [event for event in events if isinstance(event, WorkerRestarted)]
    assert [event.restarts for event in restarts] == [1, 2, 3]
    assert restarts[0].exit_code == -signal.SIGKILL
    await store.aclose()


@pytest.mark.parametrize("writes", ["logged", "sync"])
async def test_killing_the_whole_program_loses_no_acknowledged_point(
    tmp_path: Path, writes: str
) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", INGESTS_UNTIL_KILLED, str(tmp_path), writes),
        stdout=subprocess.PIPE,
        cwd=HOME,
    )
    assert child.stdout is not None
    last = -1
    while last < 25:
        last = int(await child.stdout.readline())
    child.kill()
    rest = (await child.stdout.read()).split(b"\n")
    last = max([last, *(int(line) for line in rest[:-1])])
    await child.wait()
    store = await EdgeStore.open(tmp_path)
    found = {stored.chunk.index for stored in await drained(store, "docs")}
    assert found >= set(range((last + 1) * 16))
    stored = await store.get("docs", [chunk_id("docs", "d", last * 16)], with_vectors=True)
    assert stored[0].vector is not None
    assert stored[0].vector.tolist() == made("d", last * 16).vector.tolist()
    await store.aclose()


async def test_a_second_opener_is_told_who_has_the_folder(tmp_path: Path) -> None:
    first = await EdgeStore.open(tmp_path)
    started = time.monotonic()
    with pytest.raises(StoreLocked, match="only one `gateway` may open it") as caught:
        await EdgeStore.open(tmp_path)
    assert time.monotonic() - started < 20
    assert str(tmp_path) in str(caught.value)
    assert str(os.getpid()) in str(caught.value)
    await first.aclose()
    second = await EdgeStore.open(tmp_path)
    await second.aclose()


async def test_a_closed_store_holds_what_was_written_and_answers_no_more(tmp_path: Path) -> None:
    store = await EdgeStore.open(tmp_path)
    await store.ensure(SPEC)
    await store.upsert("docs", [made("d", index) for index in range(20)])
    await store.aclose()
    with pytest.raises(UpstreamUnavailable, match="closed"):
        await store.count("docs")
    assert not (await store.health()).ok
    again = await EdgeStore.open(tmp_path)
    assert await again.ensure(SPEC) == SPEC
    assert await again.count("docs") == 20
    await again.aclose()


async def test_synchronous_writes_of_many_writers_outlive_the_worker(tmp_path: Path) -> None:
    store = await EdgeStore.open(tmp_path, sync_writes=True)
    await store.ensure(SPEC)
    await store.upsert("docs", [made("first")])
    await asyncio.gather(*(store.upsert("docs", [made("d", index)]) for index in range(60)))
    kill_worker(store)
    with pytest.raises(UpstreamUnavailable):
        await store.count("docs")
    assert await store.count("docs") == 61
    await store.aclose()


async def test_the_event_loop_runs_on_while_the_worker_works(tmp_path: Path) -> None:
    store = await EdgeStore.open(tmp_path)
    await store.ensure(SPEC)
    chunks = [made("d", index) for index in range(512)]
    gaps: list[float] = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            gaps.append(time.perf_counter() - before)

    async with asyncio.TaskGroup() as group:
        ticker = group.create_task(tick())
        await asyncio.gather(*(store.upsert("docs", chunks) for _ in range(20)))
        ticker.cancel()
    assert len(gaps) > 10
    assert sorted(gaps)[len(gaps) // 2] < 0.05
    await store.aclose()


async def test_an_interrupt_to_the_whole_group_leaves_the_worker_working(tmp_path: Path) -> None:
    store = await EdgeStore.open(tmp_path)
    await store.ensure(SPEC)
    process = store.worker_pid
    assert process is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process, number)
    await store.upsert("docs", [made()])
    assert store.worker_pid == process
    await store.aclose()


async def test_the_worker_ends_with_the_program(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, sys\nfrom pathlib import Path\n"
        "from gateway.vectorstores.edge import EdgeStore\n"
        "store = asyncio.new_event_loop().run_until_complete(EdgeStore.open(Path(sys.argv[1])))\n"
        "print(store.worker_pid, flush=True)\nos._exit(0)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    child = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE, cwd=HOME)
    out, _ = await child.communicate()
    worker = int(out)
    await _until(lambda: not _lives(worker), 10)


def _lives(process: int) -> bool:
    """A zombie that nobody reaps is dead."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


async def test_a_worker_that_keeps_dying_is_given_a_pause(tmp_path: Path) -> None:
    deaths: list[Event] = []
    store = await EdgeStore.open(tmp_path, sink=deaths.append)
    await store.ensure(SPEC)
    for _ in range(5):
        kill_worker(store)
        with pytest.raises(UpstreamUnavailable):
            await store.count("docs")
        if len(deaths) < 5:
            assert await store.count("docs") == 0
    with pytest.raises(UpstreamUnavailable, match="died 5 times") as caught:
        await store.count("docs")
    assert caught.value.retry_after_seconds is not None
    assert 0 < caught.value.retry_after_seconds <= 60
    health = await store.health()
    assert not health.ok
    await store.aclose()


async def test_a_call_that_takes_too_long_is_a_timeout(tmp_path: Path) -> None:
    store = await EdgeStore.open(tmp_path, timeout_seconds=3)
    await store.ensure(SPEC)
    process = store.worker_pid
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    with pytest.raises(UpstreamTimeout, match="'count'"):
        await store.count("docs")
    os.kill(process, signal.SIGCONT)
    assert await store.count("docs") == 0
    await store.aclose()


async def _indexing_store(root: Path, points: int) -> EdgeStore:
    options = WorkerOptions(
        root=root,
        flush_seconds=0.05,
        sync_writes=False,
        timeout_seconds=60,
        sink=lambda _event: None,
        idle_seconds=0.2,
        index_from=points,
    )
    process = EdgeProcess(options)
    await process.start()
    return EdgeStore(root, process)


async def test_a_quiet_store_indexes_and_a_call_does_not_wait_for_it(tmp_path: Path) -> None:
    store = await _indexing_store(tmp_path, 20_000)
    await store.ensure(SPEC)
    for start in range(0, 20_000, 2_000):
        await store.upsert("docs", [made("d", index) for index in range(start, start + 2_000)])
    first = store.worker_pid
    await _until(lambda: store.indexing)
    started = time.perf_counter()
    answers = await asyncio.gather(*(store.count("docs") for _ in range(20)))
    assert set(answers) == {20_000}
    assert time.perf_counter() - started < 20
    assert store.worker_pid != first
    await store.upsert("docs", [made("late")])
    await _until(lambda: store.indexing)
    await _until(lambda: not store.indexing)
    hits = await store.query("docs", asking(unit(3), 10))
    exact = await store.query("docs", asking(unit(3), 10, exact=True))
    assert len({hit.id for hit in hits} & {hit.id for hit in exact}) >= 9
    assert await store.count("docs") == 20_001
    await store.aclose()


async def _until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
