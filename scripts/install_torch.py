"""Install a CPU build of torch into this environment, where there is none yet.

Most of Linux's torch wheels on the default index carry CUDA (several GB). So: keep what is there;
take a CPU file where pip offers one; else let uv pick the CPU build. macOS and Windows wheels are
CPU builds already.
"""

import importlib.util
import json
import subprocess
import sys
from typing import Any

PINNED = "torch==2.13.0"
WANTED = "torch>=2.6"


def main() -> None:
    if importlib.util.find_spec("torch") is not None:
        return
    if sys.platform != "linux":
        pip("install", "-q", WANTED)
    elif offers_cpu_file():
        pip("install", "-q", PINNED)
    else:
        pip("install", "-q", "uv")
        run("-m", "uv", "pip", "install", "--python", sys.executable, "--torch-backend=cpu", WANTED)


def offers_cpu_file() -> bool:
    """Whether pip would take a file marked `+cpu` for the pinned version; installs nothing."""
    command = ("install", "-q", "--dry-run", "--no-deps", "--ignore-installed", "--report", "-")
    done = subprocess.run(
        [sys.executable, "-m", "pip", *command, PINNED], capture_output=True, check=False, text=True
    )
    return done.returncode == 0 and is_cpu_build(done.stdout)


def is_cpu_build(report: str) -> bool:
    """Whether pip's installation report is about a CPU build of torch."""
    found: dict[str, Any] = json.loads(report)
    return "+cpu" in found["install"][0]["metadata"]["version"]


def pip(*arguments: str) -> None:
    run("-m", "pip", "--disable-pip-version-check", *arguments)


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], check=True)


if __name__ == "__main__":
    main()
