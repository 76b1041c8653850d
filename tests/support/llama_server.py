"""llama.cpp's own embedding server on a loopback port, in a process of its own.

    with LlamaServer(path_of_a_gguf) as server:
        encoder = await OpenAIEncoder.connect(server.url, ...)

It is llama.cpp's HTTP server as the package `xllamacpp` carries it. A process can be ended whatever
it is doing, and holds the engine to one thread.
"""

import json
import subprocess
import sys
import time
import urllib.request
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_SECONDS = 60.0
STOP_SECONDS = 10.0


class LlamaServer:
    """Serves a GGUF file while entered. It can be entered again."""

    def __init__(
        self,
        model: Path,
        *,
        context: int = 2048,
        parallel: int = 2,
        batch: int = 2048,
        api_key: str | None = None,
        port: int = 0,
    ) -> None:
        """Describe a server that reads texts of `context` tokens, `parallel` of them at once.

        A text of more than `batch` tokens is refused by it, with every other text of its request.
        `port` 0 takes a free one at each start.
        """
        self._options = {
            "model": str(model),
            "context": context,
            "parallel": parallel,
            "batch": batch,
            "api_key": api_key,
            "port": port,
        }
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(self._options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        address = self._process.stdout.readline().strip()
        assert address, "llama.cpp's server did not start"
        self.url = address
        self._wait_until_healthy()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _wait_until_healthy(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                if time.monotonic() > give_up:
                    self.kill()
                    raise
                time.sleep(0.05)


def _serve(options: dict[str, Any]) -> None:
    """Open the server, tell its address on standard output, and live until the parent is gone."""
    engine: Any = import_module("xllamacpp")  # only the process of its own loads it
    params = engine.CommonParams()
    params.model.path = options["model"]
    params.embedding = True
    params.n_ctx = options["context"] * options["parallel"]
    params.n_parallel = options["parallel"]
    params.n_batch = params.n_ubatch = options["batch"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_threads_http = 4
    params.n_gpu_layers = 0
    params.hostnames = ["127.0.0.1"]
    params.port = options["port"]
    params.warmup = False
    if options["api_key"]:
        params.api_keys = [options["api_key"]]
    server = engine.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
