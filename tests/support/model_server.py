"""`gateway model-server` as users run it: a process on a port, which can be killed and come back.

with ModelServer("--encoder", "fake", "--faults", "429:0.05") as server:
    httpx.post(server.url + "/embed", json={"inputs": "text"})
    server.kill()
    server.start()
"""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import httpx

from tests.support.ports import free_port

READY_SECONDS = 60.0
STOP_SECONDS = 40.0
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


class ModelServer:
    """Runs while entered. Standard error is kept, and shown when the process dies early."""

    def __init__(
        self, *arguments: str, port: int = 0, environment: Mapping[str, str] | None = None
    ) -> None:
        """Describe a server by its command-line arguments; `port` 0 takes a free one at once."""
        self.port = port or free_port()
        self._arguments = arguments
        self._environment = _ENVIRONMENT | dict(environment or {})
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the model server was never started"
        return self._process

    def start(self) -> None:
        """Start the command and wait until its port answers `/health`."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *self._command()],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self._wait()

    def stop(self) -> int:
        """Ask it to stop as a container runtime does; return its exit code."""
        self.running.send_signal(signal.SIGTERM)
        return self._finish()

    def kill(self) -> None:
        """End it at once, as a machine that dies does."""
        self.running.kill()
        self._finish()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.running.poll() is None:
            self.stop()

    def _command(self) -> list[str]:
        return ["model-server", "--port", str(self.port), *self._arguments]

    def _wait(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            if self.running.poll() is not None:
                told = _pipe(self.running).read()
                self._finish()
                raise AssertionError(f"the model server died: {told}")
            try:
                if httpx.get(self.url + "/health").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        self.kill()
        raise AssertionError(f"the model server was not ready after {READY_SECONDS} s")

    def _finish(self) -> int:
        code = self.running.wait(STOP_SECONDS)
        _pipe(self.running).close()
        return code


def _pipe(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stderr is not None
    return process.stderr
