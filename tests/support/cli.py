"""The command line as a user meets it: a process, its output and its exit code."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """Runs `gateway` in a folder of its own, on the fake encoder and the embedded store."""

    home: Path
    encoder: str = "fake"
    store: str = "edge"

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=self.home,
            env=self.environment(**environment),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "HOME": str(self.home),
            "COLUMNS": "200",
            "GATEWAY_DATA_DIR": str(self.home / "data"),
            "GATEWAY_ENCODER": self.encoder,
            "GATEWAY_STORE": self.store,
            **more,
        }

    def write(self, name: str, text: str) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


def ids(hits: Sequence[dict[str, Any]]) -> list[str]:
    return [hit["document_id"] for hit in hits]
