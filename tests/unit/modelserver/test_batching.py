"""Inputs of concurrent requests share forward passes; a bad one and a lost caller cost nobody else."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gateway.modelserver.batching import Batcher, Job, Pass, Prepared

pytestmark = pytest.mark.anyio


class Model:
    """Answers the first id of each input; the passes it made are in `sizes`."""

    def __init__(self, **limits: Any) -> None:
        self.sizes: list[int] = []
        self.jobs: list[Job] = []
        self.passes: list[Pass] = []
        self.dropped = 0
        self.busy = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()
        bounds: dict[str, Any] = {"max_tokens": 1_000, "max_requests": None} | limits
        self.batcher = Batcher(
            self._compute, passed=self.passes.append, dropped=self._drop, **bounds
        )

    async def _compute(self, job: Job, batch: Sequence[Prepared]) -> list[int]:
        self.sizes.append(len(batch))
        self.jobs.append(job)
        self.busy.set()
        await self.gate.wait()
        if any(prepared.text == "bad" for prepared in batch):
            raise ValueError("bad input")
        return [prepared.ids[0] for prepared in batch]

    def _drop(self) -> None:
        self.dropped += 1

    async def one(
        self, number: int, *, tokens: int = 10, text: str = "", job: Job = "pooled"
    ) -> Any:
        ticket = await self.batcher.run(job, [Prepared(text, (number,) * tokens)])
        return ticket.results[0]


async def test_single_requests_of_one_moment_share_one_pass() -> None:
    model = Model()
    assert await asyncio.gather(*(model.one(n) for n in range(40))) == list(range(40))
    assert model.sizes == [40]


async def test_requests_that_come_while_the_model_works_share_the_next_pass() -> None:
    model = Model()
    model.gate.clear()
    first = asyncio.create_task(model.one(0))
    await model.busy.wait()
    rest = [asyncio.create_task(model.one(n)) for n in range(1, 9)]
    await asyncio.sleep(0)
    assert len(model.batcher) == 8
    model.gate.set()
    assert await asyncio.gather(first, *rest) == list(range(9))
    assert model.sizes == [1, 8]


async def test_padded_tokens_and_inputs_bound_a_pass() -> None:
    padded = Model(max_tokens=100)
    lengths = [10, 10, 40, 40, 10, 99, 1]
    await asyncio.gather(*(padded.one(n, tokens=length) for n, length in enumerate(lengths)))
    assert padded.sizes == [2, 2, 1, 1, 1]
    counted = Model(max_requests=3)
    await asyncio.gather(*(counted.one(n) for n in range(8)))
    assert counted.sizes == [3, 3, 2]


async def test_an_input_over_the_budget_is_computed_alone() -> None:
    model = Model(max_tokens=5)
    assert await asyncio.gather(*(model.one(n) for n in range(2))) == [0, 1]
    assert model.sizes == [1, 1]


async def test_a_pass_does_one_kind_of_work() -> None:
    model = Model()
    jobs: list[Job] = ["pooled", "pooled", "states", "pooled"]
    await asyncio.gather(*(model.one(n, job=job) for n, job in enumerate(jobs)))
    assert model.jobs == ["pooled", "states", "pooled"]
    assert model.sizes == [2, 1, 1]


async def test_a_batch_that_fails_costs_only_the_input_that_made_it_fail() -> None:
    model = Model()
    answers = await asyncio.gather(
        *(model.one(n, text="bad" if n == 5 else "") for n in range(8)), return_exceptions=True
    )
    assert isinstance(answers[5], ValueError)
    assert [answer for n, answer in enumerate(answers) if n != 5] == [0, 1, 2, 3, 4, 6, 7]
    assert sum(done.inputs for done in model.passes if done.ok) == 7
    assert sum(not done.ok for done in model.passes) == 4


async def test_one_bad_input_fails_its_own_request_once() -> None:
    model = Model()
    inputs = [Prepared(text, (1,)) for text in ("", "bad", "", "bad")]
    with pytest.raises(ValueError, match="bad input"):
        await model.batcher.run("pooled", inputs)
    assert await model.one(3) == 3


async def test_inputs_that_nobody_waits_for_are_left_out() -> None:
    model = Model()
    model.gate.clear()
    working = asyncio.create_task(model.one(0))
    await model.busy.wait()
    gone = asyncio.create_task(model.batcher.run("pooled", [Prepared("", (1,))] * 3))
    stays = asyncio.create_task(model.one(2))
    await asyncio.sleep(0)
    gone.cancel()
    model.gate.set()
    assert await asyncio.gather(working, stays) == [0, 2]
    assert model.sizes == [1, 1]
    assert model.dropped == 3


async def test_an_answer_of_another_length_is_an_error_and_not_a_wait() -> None:
    async def compute(_job: Job, _batch: Sequence[Prepared]) -> list[Any]:
        return [np.zeros(1)] * 3

    batcher = Batcher(
        compute, max_tokens=10, max_requests=None, passed=lambda _: None, dropped=lambda: None
    )
    with pytest.raises(ValueError, match=r"shorter|longer"):
        await batcher.run("pooled", [Prepared("", (1,))])


async def test_times_are_means_over_the_inputs_of_a_request() -> None:
    model = Model(max_requests=1)
    model.gate.clear()
    asyncio.get_running_loop().call_later(0.02, model.gate.set)
    ticket = await model.batcher.run("pooled", [Prepared("", (1,))] * 2)
    assert ticket.computed >= 0.009
    assert ticket.queued > 0
