"""Folders that are written: looked at before the work, and each file replaced as a whole."""

import os
from collections.abc import Iterable
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile


def try_to_write(folder: Path) -> None:
    """See that a folder can be written, or made where there is none; leaves nothing behind.

    Raises:
        OSError: it cannot.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    with TemporaryFile(dir=folder):
        pass


def replace_file(path: Path, parts: Iterable[str]) -> None:
    """Write a file so that there is all of it on the disk, or what was there before.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_name(f".{token_hex(16)}.new")
    with draft.open("x", encoding="utf-8") as file:
        try:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
            file.close()
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
