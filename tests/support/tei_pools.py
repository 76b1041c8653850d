"""Pools of TEI replicas for tests, without an encoder around them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from gateway.domain.vectors import Matrix
from gateway.events import Event, discard
from gateway.ports import Encoding, Lane
from gateway.tei.client import LIMITS, TEIClient
from gateway.tei.delivery import Delivery
from gateway.tei.goldens import Agreement
from gateway.tei.hedge import Hedge
from gateway.tei.identity import Expectation
from gateway.tei.line import Limits
from gateway.tei.pool import Pool
from gateway.tei.replica import Replica
from tests.support.tei_stub import TEIStub, hashed_rows

EXPECT = Expectation(("google/embeddinggemma-300m",), 768, 2048, ("float32",))


@dataclass(frozen=True, slots=True)
class Opened:
    """A pool and shorthands that raise where a text was refused."""

    pool: Pool
    delivery: Delivery

    @property
    def replica(self) -> Replica:
        return self.pool.replicas[0]

    async def encode(self, texts: Sequence[str], lane: Lane = Lane.QUERY) -> Encoding:
        return await self.delivery.embed(texts, lane)

    async def embed(self, texts: Sequence[str], lane: Lane = Lane.QUERY) -> tuple[Matrix, int]:
        encoding = await self.encode(texts, lane)
        return encoding.vectors, encoding.tokens

    async def tokenize(self, texts: Sequence[str], *, specials: bool = True) -> list[int]:
        return [len(row) for row in await self.pool.tokens(texts, specials=specials)]


@asynccontextmanager
async def pool_of(
    *stubs: TEIStub,
    expect: Expectation = EXPECT,
    limits: Limits = LIMITS,
    api_key: str | None = None,
    events: list[Event] | None = None,
    hedge: bool = False,
) -> AsyncGenerator[Opened]:
    """Join the addresses of `stubs`; nothing is asked before the first call."""
    sink, agreement = discard if events is None else events.append, Agreement()
    replicas = [
        Replica(
            lambda obey, url=stub.url: TEIClient(
                url,
                expect=expect,
                api_key=api_key,
                limits=limits,
                agreement=agreement,
                on_info=obey,
                sink=sink,
            ),
            limits,
            sink,
        )
        for stub in stubs
    ]
    try:
        pool = Pool(replicas, limits=limits, sink=sink)
        yield Opened(pool, Delivery(pool, size=768, hedge=Hedge(sink) if hedge else None))
    finally:
        for replica in replicas:
            await replica.aclose()


async def unit_rows(texts: Sequence[str]) -> Matrix:
    """What a stub without an encoder answers."""
    rows = await hashed_rows(texts)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return rows * (1.0 / norms).astype(np.float32)


async def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something becomes true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  another process changes it
            await asyncio.sleep(0.01)
