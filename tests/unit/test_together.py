"""Coroutines side by side."""

import asyncio

import pytest

from gateway.errors import UpstreamUnavailable
from gateway.together import together

pytestmark = pytest.mark.anyio


async def test_results_come_in_order_and_no_job_is_no_result() -> None:
    async def after(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    assert await together([after(0.01), after(0.0)]) == [0.01, 0.0]
    assert await together([after(0.0)]) == [0.0]
    assert await together([]) == []


async def test_the_first_error_is_the_callers_own_and_ends_the_others() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("waiting")
            raise

    async def fail() -> None:
        await asyncio.sleep(0)
        raise UpstreamUnavailable("away")

    async with asyncio.timeout(30):
        with pytest.raises(UpstreamUnavailable, match="away"):
            await together([wait(), fail()])
    assert ended == ["waiting"]
