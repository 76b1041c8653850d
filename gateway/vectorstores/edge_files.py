"""Files of the embedded store: one folder a collection, its spec beside its shard, one lock.

<root>/lock                              held by the worker process while it lives
<root>/collections/<name>/spec.json      written last: a folder without it is unfinished
<root>/collections/<name>/index.json     what is indexed, and how: lost, it is only built again
<root>/collections/<name>/shard/         the engine's own files
<root>/dropped/                          folders on their way out
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

_ORPHAN_SECONDS = 20.0


class Occupied(Exception):
    """Another living process holds the folder; `holder` is its process id, 0 when unknown."""

    def __init__(self, holder: int) -> None:
        super().__init__(f"held by process {holder}")
        self.holder = holder


def lock_root(root: Path, owner: int) -> IO[str]:
    """Take the folder for this process; the lock lives as long as the file is open.

    When the recorded owner is dead its worker is still closing: wait for it.

    Raises:
        Occupied: a living process has it.
    """
    root.mkdir(parents=True, exist_ok=True)
    file = (root / "lock").open("a+", encoding="utf-8")
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while not _try_lock(file):
        holder = _holder(file)
        if (holder and _alive(holder)) or time.monotonic() > deadline:
            file.close()
            raise Occupied(holder)
        time.sleep(0.05)
    file.seek(0)
    file.truncate()
    file.write(str(owner))
    file.flush()
    return file


def write_spec(folder: Path, spec: Mapping[str, Any]) -> None:
    """Write `spec.json` so that after a crash there is all of it or nothing."""
    _write(folder / "spec.json", spec)


def write_index(folder: Path, points: int, kind: str) -> None:
    """Write down how many points are indexed, and by which kind of copies."""
    _write(folder / "index.json", {"points": points, "kind": kind})


def read_index(folder: Path) -> tuple[int, str]:
    """Return what `write_index` wrote; nothing is indexed when it wrote nothing."""
    try:
        told = json.loads((folder / "index.json").read_text("utf-8"))
    except FileNotFoundError:
        return 0, ""
    return told["points"], told["kind"]


def _write(path: Path, content: Mapping[str, Any]) -> None:
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_specs(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the finished collections; unfinished and dropped folders are removed on the way."""
    shutil.rmtree(root / "dropped", ignore_errors=True)
    base = root / "collections"
    base.mkdir(parents=True, exist_ok=True)
    for folder in sorted(base.iterdir()):
        spec = folder / "spec.json"
        if spec.is_file():
            yield folder, json.loads(spec.read_text("utf-8"))
        elif folder.is_dir():
            shutil.rmtree(folder)


def remove(root: Path, folder: Path) -> None:
    """Make a collection vanish in one step, then free its space."""
    grave = root / "dropped" / f"{folder.name}.{time.monotonic_ns()}"
    grave.parent.mkdir(exist_ok=True)
    folder.rename(grave)
    shutil.rmtree(grave, ignore_errors=True)


def _holder(file: IO[str]) -> int:
    file.seek(0)
    text = file.read().strip()
    return int(text) if text.isdecimal() else 0


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[str]) -> bool:
        try:
            # a byte far behind the text: a locked region cannot be read by others
            file.seek(1 << 20)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _alive(process: int) -> bool:
        return process > 0

else:
    import fcntl

    def _try_lock(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _alive(process: int) -> bool:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
