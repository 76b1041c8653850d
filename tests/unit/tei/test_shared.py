"""One run that many wait for."""

import asyncio

import pytest

from gateway.errors import UpstreamUnavailable
from gateway.tei.shared import Shared

pytestmark = pytest.mark.anyio


class Work:
    """Runs until `release`; `runs` counts how often it began."""

    def __init__(self, error: Exception | None = None) -> None:
        self.runs = 0
        self.release = asyncio.Event()
        self._error = error

    async def run(self) -> int:
        self.runs += 1
        run = self.runs
        await self.release.wait()
        if self._error is not None:
            raise self._error
        return run


async def test_one_run_serves_all_who_ask_meanwhile_and_the_next_is_a_new_one() -> None:
    work = Work()
    shared = Shared(work.run)
    asked = [asyncio.create_task(shared.join()) for _ in range(3)]
    await asyncio.sleep(0)
    assert shared.running
    work.release.set()
    assert await asyncio.gather(*asked) == [1, 1, 1]
    assert not shared.running
    assert await shared.join() == 2


async def test_an_error_is_told_to_all_and_forgotten() -> None:
    work = Work(UpstreamUnavailable("away"))
    shared = Shared(work.run)
    asked = [asyncio.create_task(shared.join()) for _ in range(2)]
    work.release.set()
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(error) for error in told] == [UpstreamUnavailable] * 2
    assert not shared.running


async def test_one_who_gives_up_does_not_end_the_run_for_the_others() -> None:
    work = Work()
    shared = Shared(work.run)
    impatient, patient = (asyncio.create_task(shared.join()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    work.release.set()
    assert await patient == 1
    assert impatient.cancelled()


async def test_a_run_that_its_owner_ends_is_an_outage_to_those_who_wait() -> None:
    work = Work()
    shared = Shared(work.run)
    asked = asyncio.create_task(shared.join())
    await asyncio.sleep(0)
    shared.cancel()
    with pytest.raises(UpstreamUnavailable):
        await asked
    shared.cancel()  # nothing is under way any more
