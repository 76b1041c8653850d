"""Coroutines run side by side, of which the first failure ends the others."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


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
