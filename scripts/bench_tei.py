"""What our TEI client costs beside a bare one, over stubs of TEI: `make bench-tei`.

Every client runs in a process of its own; all take turns in every round, and medians over the rounds
are reported. Every vector of every run is checked against its text. Exits with 1 when a target is
missed or a vector is wrong.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench_http import HERE, free_port, process, wait_for
from bench_page import show, write
from bench_tei_client import GATEWAY
from bench_tei_report import LEVELS, Found, markdown, rows, speeds
from rich.console import Console

FAULTS = ("--overloaded", "0.05", "--reset", "0.01")
STUBS = {
    "zero": (),
    "gpu": ("--compute", "gpu", "--permits", "512"),
    "faults": ("--compute", "gpu", "--permits", "512", *FAULTS),
}
PEER_NAMES = ("openai", "langchain-openai", "llama-index TEI", "haystack", "tei-client")
PEER_SECONDS = 120
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

console = Console(width=160)


@dataclass(frozen=True)
class Run:
    """One client against one stub; `name` is its key in the results."""

    name: str
    stub: str
    options: tuple[str, ...]


def plan(texts: int, calls: int, in_flight: int) -> list[Run]:
    """All runs of one round, in an order that puts what is compared side by side."""
    size = ("--job", "bulk", "--texts", str(texts), "--in-flight", str(in_flight))
    found: list[Run] = []
    for client in ("base64", "base64-stdlib", GATEWAY, "json", "json-stdlib"):
        found.append(Run(f"zero {client}", "zero", ("--client", client, *size)))
    for stub in ("gpu", "faults"):
        for client in ("base64", GATEWAY):
            found.append(Run(f"{stub} {client}", stub, ("--client", client, "--patient", *size)))
    for level in LEVELS:
        for client in ("base64", GATEWAY):
            name = f"single {level} {client}"
            job = ("--job", "single", "--texts", str(calls), "--concurrency", str(level))
            found.append(Run(name, "zero", ("--client", client, *job)))
    idle = ("--client", GATEWAY, "--job", "idle", "--texts", str(texts))
    return [*found, Run("idle gateway", "zero", idle)]


@contextmanager
def stubs() -> Generator[dict[str, int]]:
    """Start every stub; yields their ports by name."""
    with ExitStack() as stack:
        ports = {name: free_port() for name in STUBS}
        for name, port in ports.items():
            script = str(HERE / "bench_stub.py")
            stack.enter_context(process(sys.executable, script, str(port), *STUBS[name]))
        for port in ports.values():
            wait_for(f"http://127.0.0.1:{port}/health")
        yield ports


def client(run: Run, port: int, seed: int, loop: str) -> Found:
    """Run one client; returns its measures and the stub's counters.

    Raises:
        SystemExit: it failed, or returned a wrong vector.
    """
    ask(port, f"restart/{seed}")
    command = [sys.executable, str(HERE / "bench_tei_client.py"), *run.options]
    done = subprocess.run(
        [*command, "--port", str(port), "--loop", loop], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{run.name} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout) | json.loads(ask(port, "stats"))


def ask(port: int, path: str) -> bytes:
    url = f"http://127.0.0.1:{port}/{path}"
    return urllib.request.urlopen(url, timeout=5).read()


def serve(seconds: float) -> Found:
    """One round of `gateway serve`, in a process of its own."""
    command = [sys.executable, str(HERE / "bench_http.py"), "--rounds", "1", "--seconds"]
    done = subprocess.run([*command, str(seconds)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"serve failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def measure(options: argparse.Namespace, ports: dict[str, int]) -> dict[str, list[Found]]:
    runs = plan(options.texts, options.calls, options.in_flight)
    found: dict[str, list[Found]] = {run.name: [] for run in runs} | {"serve": []}
    for number in range(options.rounds):
        console.print(f"round {number + 1} of {options.rounds}")
        for run in runs if number % 2 == 0 else reversed(runs):
            found[run.name].append(client(run, ports[run.stub], number, options.loop))
        found["serve"].append(serve(options.seconds))
    return found


def peers(options: argparse.Namespace, ports: dict[str, int]) -> dict[str, str]:
    """Run every other client once without and once with faults: texts/s, or why there are none."""
    told: dict[str, str] = {}
    for name in (f"{peer}, {how}" for peer in PEER_NAMES for how in ("as it comes", "tuned")):
        results = [peer(options, name, ports[stub]) for stub in ("gpu", "faults")]
        if results[0] != "not installed":
            told[name] = " / ".join(results)
            console.print(f"{name}: {told[name]}")
    return told


def peer(options: argparse.Namespace, name: str, port: int) -> str:
    ask(port, "restart/0")
    script = str(HERE / "bench_tei_peers.py")
    command = [options.peers_python, script, "--peer", name, "--port", str(port)]
    try:
        done = subprocess.run(
            [*command, "--texts", str(options.peer_texts)],
            capture_output=True, text=True, check=False, timeout=PEER_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"lost the run: over {PEER_SECONDS} s"
    if done.returncode:
        return f"lost the run: exit {done.returncode}"
    found = json.loads(done.stdout.splitlines()[-1])
    if found.get("lost") == "not installed":
        return "not installed"
    if "lost" in found:
        return f"lost the run: {found['lost']}"
    return f"{options.peer_texts / found['seconds']:,.0f} texts/s"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--calls", type=int, default=2_000, help="of the single queries")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a run of gateway serve")
    parser.add_argument("--in-flight", type=int, default=512, help="texts, for both sides")
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--peers-python", help="Python that has the other clients installed")
    parser.add_argument("--peer-texts", type=int, default=2_000)
    parser.add_argument("--quick", action="store_true", help="one tiny round: a smoke test")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.texts, options.calls, options.seconds = 1, 2_000, 200, 0.5
    return options


def main() -> int:
    options = parse()
    if (load := os.getloadavg()[0]) > 0.5:
        console.print(f"[yellow]this machine is busy (load {load:.1f}): read the ratios only[/]")
    for name in THREADS:
        os.environ[name] = "1"  # noqa: TID251  our children inherit it
    with stubs() as ports:
        found = measure(options, ports)
        table = rows(found, options.texts)
        others = peers(options, ports) if options.peers_python else {}
    setting = (
        f"`make bench-tei` on {os.cpu_count()} cores, Python {platform.python_version()}, loop "
        f"{options.loop} on both sides; medians of {options.rounds} rounds, {options.texts:,} texts."
    )
    show(console, setting, table)
    if options.write:
        write(
            markdown(setting, table, others and speeds(found, options.texts) | others), "bench-tei"
        )
    missed = [row for row in table if row.met is False]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
