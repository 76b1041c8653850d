"""The identity of a checkpoint's weights: which bytes they are, whatever their folder is called."""

import hashlib
from pathlib import Path
from typing import Final

from gateway.errors import IntegrityError

_WEIGHTS: Final = frozenset({".safetensors", ".bin"})


def weights_sha256(folder: Path) -> str:
    """Digest the weights of a checkpoint's folder, in hex; blocks for about a second a gigabyte.

    One file has its own sha256. Several (EmbeddingGemma keeps each Dense layer in one) have that of
    what `sha256sum` prints of them, sorted by path relative to the folder.
    """
    files = sorted(
        (file.relative_to(folder).as_posix(), file)
        for file in folder.rglob("*")
        if file.suffix in _WEIGHTS and file.is_file()
    )
    digests = [(path, _sha256(file)) for path, file in files]
    if len(digests) == 1:
        return digests[0][1]
    lines = "".join(f"{digest}  {path}\n" for path, digest in digests)
    return hashlib.sha256(lines.encode()).hexdigest()


def require_weights(folder: Path, expected: str) -> None:
    """Refuse a checkpoint that is not the one its profile names: a fine-tune, another revision.

    What is no folder is a hub id, which its revision pins.

    Raises:
        IntegrityError: with both digests.
    """
    if not folder.is_dir():
        return
    found = weights_sha256(folder)
    if found != expected:
        raise IntegrityError(
            f"the weights in {str(folder)!r} have sha256 {found}, but the profile names {expected}: "
            "load the checkpoint that it means, or give this one a profile of its own"
        )


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
