"""Many inputs as parts that fit one request each, and their answers put together."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.errors import InputTooLong

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive inputs that fit one request: the place of the first, and the JSON of each."""

    start: int
    texts: list[bytes]


def split(texts: Sequence[bytes], most: int, room: int) -> list[Part]:
    """Cut a list into consecutive parts of at most `most` texts and `room` bytes of JSON.

    Raises:
        InputTooLong: one text alone is over `room`.
    """
    parts: list[Part] = []
    used = 0
    for index, text in enumerate(texts):
        size = len(text) + 1
        if size > room:
            raise too_long(index, f"it has {size} bytes, one request takes {room}")
        if not parts or used + size > room or len(parts[-1].texts) == most:
            parts.append(Part(index, []))
            used = 0
        parts[-1].texts.append(text)
        used += size
    return parts


async def together(jobs: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Run jobs side by side, results in order; the first error ends the others and is raised."""
    if len(jobs) == 1:
        return [await jobs[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
    except ExceptionGroup as failures:
        error = failures.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise error


def halves(part: Part) -> tuple[Part, Part]:
    middle = len(part.texts) // 2
    return Part(part.start, part.texts[:middle]), Part(part.start + middle, part.texts[middle:])


def too_long(index: int, why: str) -> InputTooLong:
    return InputTooLong(
        f"input {index} is too long for one request to TEI ({why}); split the text",
        index=index,
        field="text",
    )
