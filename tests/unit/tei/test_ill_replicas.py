"""Replicas that stay ill beside good ones: they are left out, and no text is blamed for them."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest

from gateway.errors import InputTooLong, UnsupportedServer, UpstreamError, UpstreamTimeout
from gateway.events import Event, Hedged, UpstreamCalled
from gateway.modelserver.engines import EncodeRows
from gateway.modelserver.faults import Fault, FaultKind
from gateway.modelserver.replies import Rows
from gateway.ports import Lane
from gateway.tei.goldens import Agreement
from gateway.tei.hedge import FEWEST, Hedge
from gateway.tei.identity import PROBE, GoldenCheck
from gateway.tei.line import Limits
from tests.support.tei_pools import EXPECT, Opened, eventually, pool_of, unit_rows
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

TEXTS = [f"text number {number}" for number in range(60)]


async def golden_of(query: str, document: str) -> GoldenCheck:
    rows = await unit_rows([query, document])
    return GoldenCheck(query, (document,), 768, (float(rows[1] @ rows[0]),))


def speaking(prefix: str) -> EncodeRows:
    """Another model: the vectors of other texts."""

    async def encode(texts: Sequence[str]) -> Rows:
        return await unit_rows([prefix + text for text in texts])

    return encode


async def all_right(pool: Opened, texts: Sequence[str]) -> None:
    """Ask one by one, so that every replica is met, then together."""
    expected = await unit_rows(texts)
    for text, row in zip(texts, expected, strict=True):
        rows, _ = await pool.embed([text])
        assert rows.tobytes() == row.tobytes()
    rows, _ = await pool.embed(texts, Lane.INGEST)
    assert rows.tobytes() == expected.tobytes()


async def test_a_wrong_replica_never_has_a_right_one_left_out() -> None:
    expect = replace(EXPECT, goldens=(await golden_of("which planet", "mars"),))
    with TEIStub(encoder=speaking("other ")) as wrong, TEIStub() as right:
        async with pool_of(wrong, right, expect=expect) as pool:
            with pytest.raises(UnsupportedServer, match="worked example"):
                await pool.pool.replicas[0].meet()
            await pool.pool.replicas[1].meet()
            await all_right(pool, TEXTS)
            assert [one.where for one in pool.pool.ready()] == [right.url]


async def test_a_server_that_was_mended_does_not_disagree_with_itself() -> None:
    stub = TEIStub(encoder=speaking("other "))
    async with pool_of(stub) as pool:
        with stub:
            await pool.embed(["a text"])
        with TEIStub(port=stub.port):
            await all_right(pool, TEXTS[:3])


async def test_replicas_judge_only_while_they_are_asked() -> None:
    agreement = Agreement()
    one, other = await unit_rows(["one", "other"])
    agreement.require("http://a", one)
    with pytest.raises(UnsupportedServer, match="http://a"):
        agreement.require("http://b", other)
    agreement.leave("http://a")
    agreement.require("http://b", other)
    with pytest.raises(UnsupportedServer, match="http://b"):
        agreement.require("http://a", one)


@pytest.mark.parametrize("ill", [1, 2])
async def test_a_replica_whose_gpu_died_is_left_out_and_no_text_blamed(ill: int) -> None:
    stubs = [TEIStub(max_client_batch_size=8) for _ in range(3)]
    with ExitStack() as stack:
        for stub in stubs:
            stack.enter_context(stub)
        async with pool_of(*stubs) as pool:
            await pool.embed(TEXTS, Lane.INGEST)
            for stub in stubs[:ill]:
                stub.fail("backend", times=None)
            await all_right(pool, TEXTS)
            ready = {one.where for one in pool.pool.ready()}
            assert ready <= {stub.url for stub in stubs[ill:]} | {stubs[0].url, stubs[1].url}
            asked = [len(stub.log.requests) for stub in stubs[:ill]]
            await all_right(pool, TEXTS)
            again = [len(stub.log.requests) - a for stub, a in zip(stubs, asked, strict=False)]
            assert max(again) < 20  # its own trials, not our texts


async def test_a_dead_gpu_beside_a_full_server_is_not_blamed_on_the_texts() -> None:
    faults = [Fault("overloaded", None, probability=0.5)]
    with TEIStub() as dead, TEIStub(faults=faults) as full:
        async with pool_of(dead, full, limits=Limits(timeout_seconds=120.0)) as pool:
            await pool.embed(TEXTS, Lane.INGEST)
            dead.fail("backend", times=None)
            await all_right(pool, TEXTS[:30])


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_an_address_that_is_no_tei_any_more_is_left_out_at_once(status: int) -> None:
    stub = TEIStub()
    with TEIStub() as well:
        async with pool_of(stub, well) as pool:
            with stub:
                await pool.embed(TEXTS, Lane.INGEST)
            async with answering(
                stub.port, b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % status
            ):
                await all_right(pool, TEXTS)
                assert [one.where for one in pool.pool.ready()] == [well.url]


@pytest.mark.parametrize(
    "body", [b'{"error": "\xe9t\xe9"}', b"[" * 100_000], ids=["latin-1", "deep nesting"]
)
async def test_bodies_that_cannot_be_read_are_an_outage_of_their_replica(body: bytes) -> None:
    head = b"HTTP/1.1 503 No\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    stub = TEIStub()
    with TEIStub() as well:
        async with pool_of(stub, well) as pool:
            with stub:
                await pool.embed(TEXTS, Lane.INGEST)
            async with answering(stub.port, head % len(body) + body):
                await all_right(pool, TEXTS[:20])


@pytest.mark.parametrize("kind", ["short-rows", "not-json", "null"])
async def test_a_replica_that_stays_broken_is_left_out_in_the_end(kind: FaultKind) -> None:
    with TEIStub() as ill, TEIStub() as well:
        async with pool_of(ill, well) as pool:
            await pool.embed(TEXTS, Lane.INGEST)
            ill.fail(kind, times=None)
            await all_right(pool, TEXTS)
            assert [one.where for one in pool.pool.ready()] == [well.url]


async def test_a_server_that_cannot_read_the_goldens_is_wrong_not_the_caller() -> None:
    expect = replace(EXPECT, goldens=(await golden_of("a query " * 9, "a document " * 9),))
    with TEIStub(max_input_length=5) as stub:
        async with pool_of(stub, expect=expect) as pool:
            with pytest.raises(UnsupportedServer, match="refuses texts that it must read"):
                await pool.embed(["short"])


async def test_examining_leaves_permits_to_others() -> None:
    goldens = tuple([await golden_of(f"query {n}", f"document {n}") for n in range(6)])
    expect = replace(EXPECT, goldens=goldens)
    with TEIStub(max_concurrent_requests=4) as stub:
        async with pool_of(stub, expect=expect) as pool:
            await pool.embed(["a text"])
        assert stub.most_inputs_in_flight == 1


@pytest.mark.parametrize("burst", [False, True])
async def test_an_exchanged_server_with_the_same_info_is_told_by_its_vectors(burst: bool) -> None:
    many = [f"text {number}" for number in range(1000)]
    first = TEIStub()
    with TEIStub() as other:
        async with pool_of(first, other) as pool:
            with first:
                await pool.embed(TEXTS, Lane.INGEST)
            await asyncio.sleep(0.1)  # its connections are dropped in silence
            with TEIStub(port=first.port, encoder=speaking("other ")):
                if burst:
                    rows, _ = await pool.embed(many, Lane.INGEST)
                    assert rows.tobytes() == (await unit_rows(many)).tobytes()
                await all_right(pool, TEXTS[:20])
                assert [one.where for one in pool.pool.ready()] == [other.url]


async def test_a_dripping_answer_ends_at_the_deadline() -> None:
    stub = TEIStub()
    limits = Limits(timeout_seconds=2.0, read_timeout_seconds=1.0)
    async with pool_of(stub, limits=limits) as pool:
        with stub:
            await pool.embed(["a"])
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n"
        async with answering(stub.port, head, drip=b"x"), asyncio.timeout(20):
            with pytest.raises((UpstreamTimeout, UpstreamError)):
                await pool.embed(["a"])


async def test_long_lists_are_tokenised_within_the_payload_limit() -> None:
    texts = ["w " * 20_000 for _ in range(8)]
    limits = Limits(payload_bytes=100_000, timeout_seconds=60.0)
    with TEIStub(payload_limit=100_000, max_input_length=100_000) as stub:
        async with pool_of(stub, limits=limits) as pool:
            assert await pool.tokenize(texts) == [20_002] * 8
            with pytest.raises(InputTooLong) as caught:
                await pool.tokenize(["fits", "w " * 60_000])
        assert stub.log.largest_body <= 100_000
    assert caught.value.index == 1


async def test_a_window_that_shrank_does_not_freeze_the_plan() -> None:
    texts = [f"text {number}" for number in range(640)]
    with TEIStub() as stub:
        async with pool_of(stub, limits=Limits(timeout_seconds=2.0)) as pool:
            await pool.replica.meet()
            stub.fail("overloaded", times=None)
            async with asyncio.timeout(60):
                while pool.replica.window.size >= 128:
                    with pytest.raises(UpstreamError):
                        await pool.embed(["a text"])
            stub.heal()
            before = len(stub.log.requests)
            await pool.embed(texts, Lane.INGEST)
            assert len(stub.log.requests) - before <= 2 * 640 / 32


async def test_servers_that_all_became_slow_are_not_asked_twice_for_everything() -> None:
    events: list[Event] = []
    hedge = Hedge(events.append)

    async def answer(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "answer"

    for _ in range(FEWEST + 5):
        await hedge.race(answer(0.0), lambda: answer(0.0))
    events.clear()
    for _ in range(40):
        await hedge.race(answer(0.02), lambda: answer(0.02))
    assert sum(isinstance(event, Hedged) for event in events) <= 8


async def test_a_cancelled_request_is_no_success() -> None:
    events: list[Event] = []
    with TEIStub() as stub:
        async with pool_of(stub, events=events) as pool:
            await pool.replica.meet()
            stub.fail("slow", seconds=60.0)
            asked = len(stub.log.requests)
            call = asyncio.create_task(pool.embed(["a text"]))
            await eventually(lambda: len(stub.log.requests) > asked)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            last = [event for event in events if isinstance(event, UpstreamCalled)][-1]
            assert (last.operation, last.outcome) == ("embed", "cancelled")
            assert not pool.replica.busy


async def test_a_closed_replica_answers_with_an_outage_and_starts_nothing() -> None:
    with TEIStub() as stub:
        async with pool_of(stub) as pool:
            await pool.embed(["a"])
            await pool.replica.aclose()
            with pytest.raises(UpstreamError):
                await pool.embed(["b"])
            await asyncio.sleep(0)
            assert not any("_come_back" in repr(task) for task in asyncio.all_tasks())


def test_the_probe_is_a_text_that_nobody_searches_for() -> None:
    assert len(PROBE) == 1


class answering:  # noqa: N801  reads like the context manager that it is
    """Something else at a port: says the same to every request, then drips on if asked to."""

    def __init__(self, port: int, answer: bytes, *, drip: bytes = b"") -> None:
        self._port, self._answer, self._drip = port, answer, drip
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        for _turn in range(3):
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = httpx.Headers(
                    [tuple(line.split(b": ", 1)) for line in head.split(b"\r\n")[1:-2]]  # pyright: ignore[reportArgumentType]
                ).get("content-length", "0")
                await reader.readexactly(int(length))
                writer.write(self._answer)
                while self._drip:
                    await asyncio.sleep(0.05)
                    writer.write(self._drip)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
