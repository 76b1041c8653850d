"""One name, many addresses: replicas that come and go without a restart."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import ExitStack

import pytest

from gateway.encoders.tei import Expectation, Limits, TEIEncoder, Wiring
from gateway.events import discard
from gateway.tei import discovery
from gateway.tei.line import Line
from tests.support.tei_pools import EXPECT, eventually, unit_rows
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio

NAME = "tei.invalid"
"""A name that no resolver knows (RFC 6761): whoever connects by it has not asked ours."""
TEXTS = [f"text number {number}" for number in range(300)]


class Names:
    """A resolver whose answer a test changes."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: Sequence[str] | OSError = addresses
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        assert host == NAME
        self.asked += 1
        if isinstance(self.addresses, OSError):
            raise self.addresses
        return self.addresses


def servers(count: int) -> list[TEIStub]:
    """Servers on one port and several loopback addresses, as pods behind a headless service."""
    first = TEIStub(host="127.0.0.1", latency=0.005)
    others = [
        TEIStub(host=f"127.0.0.{n}", port=first.port, latency=0.005) for n in range(2, count + 1)
    ]
    return [first, *others]


async def connected(names: Names, port: int, expect: Expectation = EXPECT) -> TEIEncoder:
    wiring = Wiring(discovery_seconds=0.05, resolve=names)
    return await TEIEncoder.connect([f"http://{NAME}:{port}"], expect=expect, wiring=wiring)


async def test_every_address_of_a_name_is_a_replica_and_they_may_change() -> None:
    stubs = servers(3)
    names = Names("127.0.0.1", "127.0.0.2")
    with ExitStack() as stack:
        for stub in stubs:
            stack.enter_context(stub)
        encoder = await connected(names, stubs[0].port)
        try:
            assert [address in " ".join(encoder.ready) for address in ("0.1)", "0.2)")] == [
                True
            ] * 2
            rows = (await encoder.encode(TEXTS)).vectors
            assert rows.tobytes() == (await unit_rows(TEXTS)).tobytes()
            served = [len(stub.log.requests) if stub.log else 0 for stub in stubs]
            assert min(served[:2]) > 1
            assert served[2] == 0

            run = asyncio.create_task(encoder.encode(TEXTS * 4))
            await asyncio.sleep(0.02)
            names.addresses = ("127.0.0.2", "127.0.0.3")
            rows = (await run).vectors  # what the leaving one works on is finished
            assert rows.tobytes() == (await unit_rows(TEXTS * 4)).tobytes()
            await eventually(lambda: "(127.0.0.3)" in " ".join(encoder.ready))
            assert "(127.0.0.1)" not in " ".join(encoder.ready)
            before = len(stubs[0].log.requests)
            await encoder.encode(TEXTS)
            assert len(stubs[0].log.requests) == before
            assert len(stubs[2].log.requests) > 1
        finally:
            await encoder.aclose()


async def test_a_resolver_that_fails_takes_no_replica_away() -> None:
    stubs = servers(2)
    names = Names("127.0.0.1", "127.0.0.2")
    with stubs[0], stubs[1]:
        encoder = await connected(names, stubs[0].port)
        try:
            names.addresses = OSError("temporary failure in name resolution")
            asked = names.asked
            await eventually(lambda: names.asked > asked + 2)
            assert len(encoder.ready) == 2
            assert (await encoder.encode(["a"])).vectors.shape == (1, 768)
        finally:
            await encoder.aclose()


async def test_an_address_that_does_not_answer_is_left_out_with_the_reason() -> None:
    stubs = servers(1)
    with stubs[0]:
        encoder = await connected(Names("127.0.0.1", "127.0.0.9"), stubs[0].port)
        try:
            assert len(encoder.ready) == 1
            health = await encoder.health()
            assert health.ok
            assert "(127.0.0.9)" in health.detail
            assert "cannot be reached" in health.detail
        finally:
            await encoder.aclose()


async def test_a_pinned_line_says_the_name_to_the_server_and_connects_to_the_address() -> None:
    [stub] = servers(1)
    with stub:
        line = Line(f"http://{NAME}:{stub.port}", None, Limits(), discard, address="127.0.0.1")
        assert (await line.call("health", "/health")).body == b""
        assert line.where == f"http://{NAME}:{stub.port} (127.0.0.1)"
        await line.aclose()


async def test_the_systems_resolver_is_asked() -> None:
    assert await discovery.resolve("localhost", 80) == ["127.0.0.1"]
    assert await discovery.resolve("127.0.0.5", 80) == ["127.0.0.5"]
    with pytest.raises(socket.gaierror):
        await discovery.resolve(NAME, 80)


@pytest.mark.parametrize(("host", "changes"), [("10.0.0.1", False), ("[::1]", False), (NAME, True)])
async def test_only_a_name_may_change(host: str, changes: bool) -> None:
    assert discovery.Members([f"http://{host}:80"], _no_replica).may_change == changes


def _no_replica(url: str, address: str | None) -> discovery.Replica:
    raise AssertionError(f"nothing is opened for {url} {address}")
