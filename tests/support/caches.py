"""Caches to be judged: every backend, one of them a real server."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.encoders.caches.disk import DiskCache
from gateway.encoders.caches.guard import GuardedCache
from gateway.encoders.caches.memory import MemoryCache
from gateway.encoders.caches.port import Cache
from gateway.encoders.caches.valkey import ValkeyCache
from tests.support.ports import free_port

KINDS = ("memory", "disk", "valkey", "guarded")
STARTING_SECONDS = 20.0


@asynccontextmanager
async def open_cache(
    kind: str, *, folder: Path | None = None, max_bytes: int = 50_000_000
) -> AsyncGenerator[Cache, None]:
    """Open an empty cache of one kind; `folder` keeps that on disk."""
    if kind == "valkey":
        with valkey_server() as server:
            async with aclosing(ValkeyCache.connect(server.url)) as cache:
                yield cache
    elif kind == "disk":
        with tempfile.TemporaryDirectory() as temporary:
            opened = await DiskCache.open(folder or Path(temporary), max_bytes=max_bytes)
            async with aclosing(opened) as cache:
                yield cache
    else:
        memory = MemoryCache(max_bytes=max_bytes)
        async with aclosing(memory if kind == "memory" else GuardedCache(memory)) as cache:
            yield cache


@dataclass(frozen=True, slots=True)
class ValkeyServer:
    """A running server; `process` may be stopped and continued by a test."""

    url: str
    port: int
    process: subprocess.Popen[bytes]


@contextmanager
def valkey_server(*options: str, port: int | None = None) -> Generator[ValkeyServer, None, None]:
    """Run a Valkey or Redis server of this machine that keeps nothing; skip where there is none."""
    binary = shutil.which("valkey-server") or shutil.which("redis-server")
    if binary is None:
        pytest.skip("needs valkey-server or redis-server: apt-get install redis-server")
    pytest.importorskip("redis", reason="needs the extra `valkey`")
    port = port or free_port()
    only_here = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [binary, *only_here, "--dir", folder, *options], stdout=subprocess.DEVNULL
        )
        try:
            _await_port(port)
            yield ValkeyServer(f"valkey://127.0.0.1:{port}/0", port, process)
        finally:
            process.kill()
            process.wait()


def _await_port(port: int) -> None:
    until = time.monotonic() + STARTING_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return
