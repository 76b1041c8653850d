"""One client of TEI, measured in a process of its own: prints one line of JSON.

python scripts/bench_tei_client.py --client gateway --port PORT --job bulk --texts 20000
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import numpy as np
from bench_rows import Matrix, corpus, require_rows
from bench_stub import new_loop
from bench_tei_bare import BATCH, WIRES, Bare

WARM_CALLS = 64
GATEWAY = "gateway"


class Client(Protocol):
    """What every measured client can do."""

    async def bulk(self, texts: Sequence[str]) -> Matrix: ...

    async def single(self, text: str) -> Matrix: ...


def open_client(options: argparse.Namespace) -> AbstractAsyncContextManager[Client]:
    if options.client == GATEWAY:
        import bench_tei_ours  # noqa: PLC0415  a bare client's process holds none of it

        return bench_tei_ours.connect(options.port, in_flight=options.in_flight)
    return Bare(
        options.port,
        WIRES[options.client],
        connections=options.in_flight // BATCH,
        patient=options.patient,
    )


async def bulk(client: Client, texts: Sequence[str], _concurrency: int) -> dict[str, float]:
    """All texts in one call: seconds, CPU seconds and peak memory, then every row is checked."""
    await client.bulk(texts[:WARM_CALLS])
    cpu, started = time.process_time(), time.perf_counter()
    rows = await client.bulk(texts)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = peak_mb()
    require_rows(texts, rows)
    return {"seconds": seconds, "cpu": cpu, "peak_mb": peak, "vectors_mb": rows.nbytes / 1e6}


async def single(client: Client, texts: Sequence[str], concurrency: int) -> dict[str, float]:
    """One text a call, `concurrency` callers that never wait: milliseconds and calls per second."""
    took: list[float] = []
    rows = np.empty((len(texts), 768), np.float32)
    todo = iter(enumerate(texts))

    async def caller() -> None:
        for index, text in todo:
            began = time.perf_counter()
            rows[index] = (await client.single(text))[0]
            took.append(time.perf_counter() - began)

    await asyncio.gather(*(client.single(text) for text in texts[:concurrency]))
    for text in texts[:WARM_CALLS]:
        await client.single(text)
    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    require_rows(texts, rows)
    p50, p99 = np.percentile(np.array(took) * 1000, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "rate": len(texts) / seconds, "cpu": cpu}


async def idle(client: Client, texts: Sequence[str], _concurrency: int) -> dict[str, float]:
    """Peak memory of a client that is open, and its texts read."""
    await client.bulk(texts[:BATCH])
    return {"peak_mb": peak_mb()}


JOBS = {"bulk": bulk, "single": single, "idle": idle}


def peak_mb() -> float:
    """Peak resident memory of this process in MB. Not `ru_maxrss`: it counts the parent's too."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("this system does not tell a process its peak memory")


async def run(options: argparse.Namespace) -> dict[str, float]:
    texts = corpus(options.texts, seed=options.seed)
    async with open_client(options) as client:
        return await JOBS[options.job](client, texts, options.concurrency)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", choices=[GATEWAY, *WIRES], required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--job", choices=sorted(JOBS), required=True)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=512, help="texts, for bulk")
    parser.add_argument("--concurrency", type=int, default=1, help="callers, for single")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--patient", action="store_true", help="bare clients repeat what failed")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    options = parse()
    loop = new_loop() if options.loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=loop) as runner:
        print(json.dumps(runner.run(run(options))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
