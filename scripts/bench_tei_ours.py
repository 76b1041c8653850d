"""The gateway's TEI encoder as a client to measure. The one place where it is constructed."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench_rows import SIZE, Matrix

from gateway.encoders.tei import Expectation, Limits, TEIEncoder, Wiring
from gateway.ports import Encoder, Lane

EXPECT = Expectation(
    model_ids=("google/embeddinggemma-300m",), size=SIZE, max_tokens=2048, dtypes=("float32",)
)


class Ours:
    """An encoder as a program uses it: a list in, all its vectors out."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    async def bulk(self, texts: Sequence[str]) -> Matrix:
        return (await self.encoder.encode(texts, lane=Lane.INGEST)).vectors

    async def single(self, text: str) -> Matrix:
        return (await self.encoder.encode([text])).vectors


@asynccontextmanager
async def connect(port: int, *, in_flight: int) -> AsyncGenerator[Ours]:
    encoder = await TEIEncoder.connect(
        [f"http://127.0.0.1:{port}"],
        expect=EXPECT,
        wiring=Wiring(Limits(max_in_flight=in_flight)),
    )
    try:
        yield Ours(encoder)
    finally:
        await encoder.aclose()
