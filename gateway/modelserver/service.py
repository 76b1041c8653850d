"""The work of a request between its body and its answer, in TEI's order.

Batch size, permits, prompt, characters, tokens, queue, forward pass, cut, normalisation.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import numpy as np

from gateway.encoders.defects import DEFECTS
from gateway.errors import ConfigurationError, GatewayError
from gateway.modelserver.batching import Batcher, Job, Pass, Prepared
from gateway.modelserver.contract import Contract, Refusal, backend, invalid
from gateway.modelserver.engines import Engine, Scorer, no_embedding_model, normalised
from gateway.modelserver.faults import Fault
from gateway.modelserver.log import Log
from gateway.modelserver.metrics import Kind, Metrics
from gateway.modelserver.permits import Permits
from gateway.modelserver.preparing import Preparer, Reading
from gateway.modelserver.replies import Cost, Rows
from gateway.modelserver.requests import Input
from gateway.modelserver.spoiling import turned

NEEDED: Final = {
    "no-dense": "with Dense modules",
    "causal": "with bidirectional attention",
    "no-window": "with a sliding window",
}


@dataclass(frozen=True, slots=True)
class Done:
    """Results of a request by input, and what they cost."""

    results: list[Any]
    cost: Cost


class Service:
    """One model behind one contract."""

    def __init__(
        self,
        contract: Contract,
        engine: Engine,
        *,
        reranker: Scorer | None = None,
        latency: float = 0.0,
        seed: int = 0,
        records: bool = False,
    ) -> None:
        """Join the parts.

        `latency` is how many seconds each request works besides, `seed` turns other models, and
        `records` keeps every request in the log, for tests.
        """
        self.contract: Final = contract
        self.engine: Final = engine
        self.reranker: Final = reranker
        self.permits: Final = Permits(contract)
        self.preparer: Final = Preparer(contract, engine)
        self.log: Final = Log(records)
        self._latency: Final = latency
        self._seed: Final = seed
        self._batcher: Final = Batcher(
            self._compute,
            max_tokens=contract.max_batch_tokens,
            max_requests=contract.max_batch_requests,
            passed=self._passed,
            dropped=self._dropped,
        )
        self.metrics: Final = Metrics(lambda: len(self._batcher), self.log.proofs)

    async def embed(
        self,
        inputs: Sequence[Input],
        reading: Reading,
        *,
        normalize: bool,
        fault: Fault | None,
    ) -> tuple[Rows, Cost]:
        """Rows as TEI makes them: cut to the size asked for, then of unit length."""
        job: Job = "pooled" if fault is None or fault.kind not in DEFECTS else fault.kind
        done = await self.run(job, inputs, reading, fault)
        rows = np.stack(done.results)
        if _is(fault, "other-model"):
            rows = turned(rows, self._seed)
        size = reading.dimensions
        if size is not None and size > rows.shape[1]:
            raise invalid("`dimensions` should be smaller than the maximum embedding dimension.")
        rows = rows[:, :size]
        if normalize and not _is(fault, "unnormalised"):
            rows = normalised(rows)
        return np.ascontiguousarray(rows), done.cost

    async def run(
        self, job: Job, inputs: Sequence[Input], reading: Reading, fault: Fault | None = None
    ) -> Done:
        """Prepare inputs, wait for their turn and compute them, permits held all the while."""
        self.require_batch(len(inputs))
        started = perf_counter()
        async with self.permits.held(len(inputs), single=reading.single):
            await asyncio.sleep(fault.seconds if fault and _is(fault, "slow") else self._latency)
            if not self.engine.embeds:
                raise no_embedding_model()
            self.metrics.began("embed", len(inputs))
            prepared = await self.preparer.prepare(inputs, reading, fault)
            characters = sum(map(len, inputs))
            return await self._finish(job, prepared, "embed", reading.single, characters, started)

    async def score(
        self, query: str, texts: Sequence[str], reading: Reading, fault: Fault | None = None
    ) -> Done:
        """Raw scores of a query with each text."""
        if self.reranker is None:
            raise backend("model is not a re-ranker model", "model_type")
        self.require_batch(len(texts))
        started = perf_counter()
        async with self.permits.held(len(texts), single=False):
            await asyncio.sleep(fault.seconds if fault and _is(fault, "slow") else self._latency)
            self.metrics.began("predict", len(texts))
            prepared = await self.preparer.pairs(self.reranker, query, texts, reading)
            characters = len(query) * len(texts) + sum(map(len, texts))
            return await self._finish("scores", prepared, "predict", False, characters, started)

    async def healthy(self) -> bool:
        """Whether the last forward pass succeeded; after one that failed, whether one token does."""
        if self.log.failing:
            reading = Reading(single=True, truncate=True)
            try:
                if self.engine.embeds or self.reranker is None:
                    await self._batcher.run("pooled", await self.preparer.prepare(["a"], reading))
                else:
                    probe = await self.preparer.pairs(self.reranker, "a", ["a"], reading)
                    await self._batcher.run("scores", probe)
            except Refusal:
                return False
        return True

    def require_playable(self, faults: Sequence[Fault]) -> None:
        """Refuse faults that the engine cannot play.

        Raises:
            ConfigurationError: it is no checkpoint, or one that has nothing to do wrong there.
        """
        for fault in faults:
            if fault.kind in DEFECTS and fault.kind not in self.engine.defects:
                raise ConfigurationError(
                    f"fault {fault.kind!r} needs a checkpoint {NEEDED.get(fault.kind, '')}".rstrip()
                    + "; this encoder is not one"
                )

    def require_batch(self, count: int) -> None:
        limit = self.contract.max_client_batch_size
        if count > limit:
            text = f"batch size {count} > maximum allowed batch size {limit}"
            raise Refusal("Validation", text, "batch_size")

    async def _finish(
        self,
        job: Job,
        prepared: Sequence[Prepared],
        kind: Kind,
        single: bool,
        characters: int,
        started: float,
    ) -> Done:
        """Compute what is prepared and tell its cost."""
        tokenised = perf_counter()
        for one in prepared:
            self.metrics.read(one.tokens)
        self.log.accepted += len(prepared)
        ticket = await self._batcher.run(job, prepared)
        cost = Cost(
            characters=characters,
            tokens=sum(one.tokens for one in prepared),
            total=perf_counter() - started,
            tokenization=tokenised - started,
            queue=ticket.queued,
            inference=ticket.computed,
        )
        method = "single" if single else "batch"
        self.metrics.succeeded(method, kind, len(prepared), cost)
        return Done(ticket.results, cost)

    async def _compute(self, job: Job, batch: Sequence[Prepared]) -> Sequence[Any]:
        try:
            match job:
                case "states":
                    return await self.engine.states(batch)
                case "scores":
                    assert self.reranker is not None
                    return list(await self.reranker.scores([(one.text, one.pair) for one in batch]))
                case _:
                    defect = None if job == "pooled" else job
                    rows = await self.engine.pooled(batch, defect=defect, seed=self._seed)
                    return list(rows)
        except Refusal:
            raise
        except GatewayError as exc:
            raise backend(exc.message) from exc
        except Exception as exc:
            raise backend(f"inference failed: {type(exc).__name__}") from exc

    def _passed(self, done: Pass) -> None:
        self.metrics.passed(done)
        self.log.passes += 1
        self.log.failing = not done.ok
        if done.ok:
            self.log.computed += done.inputs
        else:
            self.log.failed_passes += 1

    def _dropped(self) -> None:
        self.log.dropped += 1
        self.metrics.failed("dropped")


def _is(fault: Fault | None, kind: str) -> bool:
    return fault is not None and fault.kind == kind
