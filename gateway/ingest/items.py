"""What a reader yields: a document, or the reason why a piece of the source is none."""

from dataclasses import dataclass
from typing import TypeAlias

from gateway.domain.documents import Document


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A part of a source that gave no document; what stands before and after it is read.

    `line` counts from 1 and is None when the whole source is meant. `skipped` marks what was left
    out by rule (a file of an unknown kind in a folder) and not because something is wrong with it.
    """

    source: str
    reason: str
    line: int | None = None
    skipped: bool = False


ReadItem: TypeAlias = Document | ReadFailure
