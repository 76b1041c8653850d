"""The semaphore counted in inputs."""

import asyncio

import pytest

from gateway.tei.budget import InputBudget

pytestmark = pytest.mark.anyio


async def hold(budget: InputBudget, count: int, seen: list[int], gate: asyncio.Event) -> None:
    async with budget.hold(count):
        seen.append(count)
        await gate.wait()


async def started(*tasks: asyncio.Task[None]) -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    for task in tasks:
        assert not task.done()


async def test_inputs_beyond_the_capacity_wait_their_turn() -> None:
    budget, seen, gate = InputBudget(4), list[int](), asyncio.Event()
    tasks = [asyncio.create_task(hold(budget, n, seen, gate)) for n in (3, 2, 1)]
    await started(*tasks)
    assert seen == [3]  # the small one does not overtake the one before it
    assert budget.load == 6
    gate.set()
    await asyncio.gather(*tasks)
    assert seen == [3, 2, 1]
    assert budget.load == 0


async def test_a_request_over_the_whole_capacity_runs_alone() -> None:
    budget, seen, gate = InputBudget(2), list[int](), asyncio.Event()
    tasks = [asyncio.create_task(hold(budget, n, seen, gate)) for n in (5, 1)]
    await started(*tasks)
    assert seen == [5]
    gate.set()
    await asyncio.gather(*tasks)
    assert seen == [5, 1]


async def test_a_cancelled_waiter_lets_the_next_one_in() -> None:
    budget, seen, gate = InputBudget(4), list[int](), asyncio.Event()
    tasks = [asyncio.create_task(hold(budget, n, seen, gate)) for n in (3, 4, 1)]
    await started(*tasks)
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    await started(tasks[0], tasks[2])
    assert seen == [3, 1]
    gate.set()
    await asyncio.gather(tasks[0], tasks[2])
    assert budget.load == 0


async def test_one_cancelled_in_the_moment_of_its_turn_gives_it_back() -> None:
    budget, seen, gate = InputBudget(2), list[int](), asyncio.Event()
    first, second = (asyncio.create_task(hold(budget, 2, seen, gate)) for _ in range(2))
    await started(first, second)
    gate.set()
    await first  # admits the second, which has not run yet
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert budget.load == 0


async def test_more_capacity_admits_at_once() -> None:
    budget, seen, gate = InputBudget(1), list[int](), asyncio.Event()
    tasks = [asyncio.create_task(hold(budget, 1, seen, gate)) for _ in range(3)]
    await started(*tasks)
    budget.resize(3)
    await started(*tasks)
    assert len(seen) == 3
    gate.set()
    await asyncio.gather(*tasks)
