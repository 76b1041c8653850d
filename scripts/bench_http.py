"""What the gateway adds to an embedding call, over a TEI that answers in 0 ms.

One gateway worker, one stub, one client process. The bare call and the call through the gateway
alternate in every round, so that a busy machine slows both; medians over rounds are reported. The
gateway's vectors are held against those of the stub in every round.
"""

import argparse
import asyncio
import base64
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
from bench_rows import WrongVectorsError, rows_of

HERE = Path(__file__).parent
ROUNDS = 5
SECONDS = 3.0
SIZE = 512
PROMPT = "title: none | text: "
"""What the gateway puts before a document."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def process(*command: str, **environment: str) -> Generator[subprocess.Popen[bytes]]:
    """Run a server until the block ends."""
    env = {**os.environ, **environment}  # noqa: TID251  the child inherits ours
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(20)


def wait_for(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).read()  # noqa: S310  our own loopback
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def request(port: int, body: dict[str, object]) -> bytes:
    payload = json.dumps(body).encode()
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> bytes:
    """Send one request and read its response; returns the body."""
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head[:20]:
        raise RuntimeError(head.decode(errors="replace"))
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return await reader.readexactly(length)


async def latencies(port: int, message: bytes, calls: int) -> list[float]:
    """Seconds of each of `calls` calls, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found: list[float] = []
    for _ in range(calls):
        started = time.perf_counter()
        await call(reader, writer, message)
        found.append(time.perf_counter() - started)
    writer.close()
    return found


async def throughput(port: int, messages: Sequence[bytes], seconds: float) -> float:
    """Calls per second with one client for each message, which it sends again and again."""
    stop = time.perf_counter() + seconds
    done = 0

    async def client(message: bytes) -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < stop:
            await call(reader, writer, message)
            done += 1
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*map(client, messages))
    return done / (time.perf_counter() - started)


def bodies() -> tuple[dict[str, object], dict[str, object], dict[str, object]]:
    text = "The gateway adds prompts, checks vectors and cuts them to size."
    bare: dict[str, object] = {"input": [text], "encoding_format": "base64"}
    single = {**bare, "model": "embeddinggemma-300m:document", "dimensions": SIZE}
    batch = {**single, "input": [f"{text} {i}" for i in range(32)]}
    return bare, single, batch


def crowd(port: int, body: dict[str, object], connections: int) -> list[bytes]:
    """The same call with other texts for each connection: texts in flight at once are shared."""
    texts = cast("list[str]", body["input"])
    return [
        request(port, body | {"input": [f"{text} {number}" for text in texts]})
        for number in range(connections)
    ]


async def check(port: int, body: dict[str, object], texts: Sequence[str]) -> None:
    """Hold the gateway's vectors against the stub's: every text must have got its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = json.loads(await call(reader, writer, request(port, body)))
    writer.close()
    coded = b"".join(base64.b64decode(item["embedding"]) for item in answer["data"])
    found = np.frombuffer(coded, "<f4").reshape(len(texts), SIZE)
    right = rows_of([PROMPT + text for text in texts])[:, :SIZE]
    right = right / np.linalg.norm(right, axis=1, keepdims=True)
    if not np.allclose(found, right, rtol=0, atol=1e-6):
        raise WrongVectorsError("the gateway answered other vectors than its server's")


async def measure(stub: int, gateway: int, rounds: int, seconds: float) -> dict[str, float]:
    bare, single, batch = bodies()
    await latencies(gateway, request(gateway, single), 200)
    added: list[float] = []
    direct: list[float] = []
    rps: list[float] = []
    tps: list[float] = []
    for _ in range(rounds):
        alone = statistics.median(await latencies(stub, request(stub, bare), 300))
        through = statistics.median(await latencies(gateway, request(gateway, single), 300))
        direct.append(alone)
        added.append(through - alone)
        rps.append(await throughput(gateway, crowd(gateway, single, 64), seconds))
        tps.append(32 * await throughput(gateway, crowd(gateway, batch, 8), seconds))
        for body in single, batch:
            await check(gateway, body, cast("list[str]", body["input"]))
    return {
        "bare p50 ms": statistics.median(direct) * 1000,
        "added p50 ms": statistics.median(added) * 1000,
        "requests/s at 64": statistics.median(rps),
        "texts/s in batches of 32": statistics.median(tps),
    }


def main(rounds: int = ROUNDS, seconds: float = SECONDS) -> dict[str, float]:
    stub, gateway = free_port(), free_port()
    with process(sys.executable, str(HERE / "bench_stub.py"), str(stub)):
        wait_for(f"http://127.0.0.1:{stub}/health")
        with process(
            sys.executable, "-m", "gateway", "serve", "--port", str(gateway),
            GATEWAY_TEI__URLS=f"http://127.0.0.1:{stub}",
            GATEWAY_TEI__MAX_IN_FLIGHT="1024",
            GATEWAY_TEI__VERIFY_GOLDENS="false",
            GATEWAY_STORE="memory",
            GATEWAY_LOG__LEVEL="warning",
        ):  # fmt: skip
            wait_for(f"http://127.0.0.1:{gateway}/livez")
            return asyncio.run(measure(stub, gateway, rounds, seconds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one throughput run")
    options = parser.parse_args()
    print(json.dumps(main(options.rounds, options.seconds)))
