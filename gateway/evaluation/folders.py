"""Folders that will be written: looked at before the work, and made when there is something to write."""

from pathlib import Path
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
