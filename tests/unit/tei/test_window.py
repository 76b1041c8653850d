"""The semaphore counted in inputs: order, lanes, a size that adapts."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.ports import Lane
from gateway.tei.window import STREAK, Bounds, Load, Window

pytestmark = pytest.mark.anyio

Q, D = Lane.QUERY, Lane.INGEST


class Crowd:
    """Requests that hold a window until they are let go, in the order in which they got in."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.entered: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, inputs: int, lane: Lane = Q, tokens: int = 0) -> None:
        self._gates[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._hold(name, inputs, lane, tokens))
        await turns()

    async def leave(self, *names: str) -> None:
        for name in names:
            self._gates[name].set()
        await turns()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.gather(self._tasks[name], return_exceptions=True)
        await turns()

    def cancel_now(self, name: str) -> None:
        self._tasks[name].cancel()

    def let_go(self, name: str) -> None:
        self._gates[name].set()

    async def _hold(self, name: str, inputs: int, lane: Lane, tokens: int) -> None:
        load = await self.window.take(inputs, tokens, lane)
        try:
            self.entered.append(name)
            await self._gates[name].wait()
        finally:
            self.window.give_back(load)


async def turns() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_inputs_beyond_the_size_wait_their_turn() -> None:
    crowd = Crowd(Window(Bounds(4)))
    for name, inputs in (("three", 3), ("two", 2), ("one", 1)):
        await crowd.ask(name, inputs)
    assert crowd.entered == ["three"]  # the small one does not overtake the one before it
    assert crowd.window.load == 6
    await crowd.leave("three")
    assert crowd.entered == ["three", "two", "one"]
    await crowd.leave("two", "one")
    assert crowd.window.load == 0


async def test_a_request_over_the_whole_size_runs_alone() -> None:
    crowd = Crowd(Window(Bounds(2)))
    await crowd.ask("large", 5)
    await crowd.ask("small", 1)
    assert crowd.entered == ["large"]
    await crowd.leave("large")
    assert crowd.entered == ["large", "small"]


@pytest.mark.parametrize("lane", Lane)
async def test_a_cancelled_waiter_lets_the_next_one_in(lane: Lane) -> None:
    crowd = Crowd(Window(Bounds(5)))
    for name, inputs in (("three", 3), ("four", 4), ("one", 1)):
        await crowd.ask(name, inputs, lane)
    await crowd.cancel("four")
    assert crowd.entered == ["three", "one"]
    await crowd.leave("three", "one")
    assert crowd.window.load == 0


async def test_one_cancelled_in_the_moment_of_its_turn_gives_it_back() -> None:
    crowd = Crowd(Window(Bounds(2)))
    await crowd.ask("first", 2)
    await crowd.ask("second", 2)
    crowd.let_go("first")
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the first has left and admitted the second, which has not run yet
    crowd.cancel_now("second")
    await turns()
    assert crowd.window.load == 0


async def test_a_cancelled_head_is_passed_over_before_its_own_task_has_run() -> None:
    crowd = Crowd(Window(Bounds(2)))
    for name in ("first", "second", "third"):
        await crowd.ask(name, 2)
    crowd.cancel_now("second")
    await crowd.leave("first")
    assert crowd.entered == ["first", "third"]
    await crowd.leave("third")
    assert crowd.window.load == 0


async def test_a_larger_size_admits_at_once() -> None:
    crowd = Crowd(Window(Bounds(1)))
    for name in "abc":
        await crowd.ask(name, 1)
    crowd.window.resize(Bounds(3))
    await turns()
    assert len(crowd.entered) == 3


async def test_queries_go_before_an_ingest_that_waits_longer() -> None:
    crowd = Crowd(Window(Bounds(8)))
    await crowd.ask("full", 8)
    await crowd.ask("ingest", 4, D)
    await crowd.ask("query", 1)
    await crowd.leave("full")
    assert crowd.entered == ["full", "query", "ingest"]


async def test_an_ingest_leaves_room_for_a_query() -> None:
    crowd = Crowd(Window(Bounds(32)))
    for number in range(40):
        await crowd.ask(f"ingest {number}", 1, D)
    assert len(crowd.entered) == crowd.window.ingest_size == 30
    await crowd.ask("query", 2)
    assert crowd.entered[-1] == "query"


async def test_an_ingest_moves_although_queries_never_end() -> None:
    crowd = Crowd(Window(Bounds(4)))
    await crowd.ask("query 0", 4)
    await crowd.ask("ingest", 3, D)
    for number in range(1, 3 * STREAK):
        await crowd.ask(f"query {number}", 4)
        await crowd.leave(f"query {number - 1}")
    place = crowd.entered.index("ingest") if "ingest" in crowd.entered else len(crowd.entered)
    assert place <= STREAK + 1


async def test_no_more_of_an_ingest_is_inside_the_server_than_two_forward_passes() -> None:
    by_inputs = Crowd(Window(Bounds(512, pass_tokens=10_000, pass_inputs=4)))
    by_tokens = Crowd(Window(Bounds(512, pass_tokens=10_000)))
    for number in range(30):
        await by_inputs.ask(f"{number}", 1, D, tokens=10)
        await by_tokens.ask(f"{number}", 1, D, tokens=1_000)
    assert len(by_inputs.entered) == 8
    assert len(by_tokens.entered) == 20
    await by_tokens.ask("query", 1, Q, tokens=2_000)
    assert by_tokens.entered[-1] == "query"


async def test_one_batch_over_two_passes_still_goes() -> None:
    crowd = Crowd(Window(Bounds(512, pass_tokens=100)))
    await crowd.ask("huge", 32, D, tokens=5_000)
    await crowd.ask("next", 1, D, tokens=1)
    assert crowd.entered == ["huge"]


async def loads(window: Window, count: int) -> Sequence[Load]:
    found: list[Load] = []
    for _ in range(count):
        found.append(await window.take(1, 0, Q))
        window.give_back(found[-1])
    return found


async def test_one_crowd_shrinks_the_window_once() -> None:
    window = Window(Bounds(100))
    crowd = await loads(window, 5)
    assert [window.shrink(load) for load in crowd] == [True, False, False, False, False]
    assert window.size == 80
    [late] = await loads(window, 1)
    assert window.shrink(late)
    assert window.size == 64


async def test_the_window_never_closes_and_grows_back_by_steps_to_its_full_size() -> None:
    window = Window(Bounds(512))
    for _ in range(60):
        [load] = await loads(window, 1)
        window.shrink(load)
    assert window.size == 1
    answered = 0
    while window.size < 512:
        before = window.size
        window.grow(Load(32, 0, Q))
        assert window.size > before
        answered += 32
        assert answered < 20_000
    window.grow(Load(32, 0, Q))
    assert window.size == 512
