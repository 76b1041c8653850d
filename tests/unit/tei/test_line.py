"""A line and its repetitions say whom they speak to: TEI, or whatever was put in its place."""

from collections.abc import Mapping
from contextlib import aclosing

import pytest

from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Event, UpstreamCalled, UpstreamRetried
from gateway.tei.line import TEI, Limits, Line, Speaks, require_url
from gateway.tei.retry import Clock, Patience, patiently
from tests.support.ports import free_port
from tests.support.tei_stub import TEIStub

pytestmark = pytest.mark.anyio


def refused(where: str, status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    told = f"{where} {status} {len(body) > 0} {headers.get('content-type')}"
    return UpstreamRejected(told, service="other")


OTHER = Speaks("other", "the other server", refused)


@pytest.mark.parametrize(("speaks", "name"), [(TEI, "TEI"), (OTHER, "the other server")])
async def test_a_server_that_is_away_is_named(speaks: Speaks, name: str) -> None:
    events: list[Event] = []
    url = f"http://127.0.0.1:{free_port()}"
    async with aclosing(Line(url, None, Limits(), events.append, speaks=speaks)) as line:
        with pytest.raises(UpstreamUnavailable, match=f"^{name} at {url} cannot") as caught:
            await line.call("info", "/info")
    assert caught.value.service == speaks.service
    (event,) = events
    assert isinstance(event, UpstreamCalled)
    assert (event.service, event.operation) == (speaks.service, "info")
    assert event.outcome == "upstream-unavailable"


@pytest.mark.parametrize(
    ("speaks", "limits", "setting"),
    [
        (TEI, Limits(read_timeout_seconds=0.05), r"tei\.read_timeout_seconds"),
        (TEI, Limits(timeout_seconds=0.05), r"tei\.timeout_seconds"),
        (OTHER, Limits(0.05, read_timeout_seconds=0.05), r"other\.timeout_seconds"),
    ],
)
async def test_a_silent_server_is_named_with_the_setting_that_bounds_it(
    speaks: Speaks, limits: Limits, setting: str
) -> None:
    with TEIStub() as stub:
        stub.fail("slow", path="/info", seconds=0.5)
        async with aclosing(Line(stub.url, None, limits, lambda _: None, speaks=speaks)) as line:
            with pytest.raises(UpstreamTimeout, match=f"^{speaks.name} at .*{setting}$") as caught:
                await line.call("info", "/info")
    assert caught.value.service == speaks.service


async def test_a_refusal_is_read_by_who_knows_the_protocol() -> None:
    with TEIStub() as stub:
        async with aclosing(Line(stub.url, None, Limits(), lambda _: None, speaks=OTHER)) as line:
            with pytest.raises(UpstreamRejected, match=f"^{stub.url} 422 True text/plain"):
                await line.call("embed", "/embed", b"{}")


async def test_a_repetition_names_the_server_too() -> None:
    events: list[Event] = []
    full = [UpstreamOverloaded("full"), UpstreamOverloaded("full")]

    async def attempt() -> str:
        if full:
            raise full.pop()
        return "done"

    patience = Patience(full_seconds=30.0, away_seconds=30.0, clock=Clock(30.0))
    assert await patiently(attempt, "embed", patience, events.append, service="other") == "done"
    expected = [UpstreamRetried("other", "embed", "upstream-overloaded", n) for n in (1, 2)]
    assert events == expected


@pytest.mark.parametrize("url", ["other:80", "http://user:secret@other", "http://other:port"])
def test_a_wrong_address_is_one_of_that_server(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the other server address") as caught:
        require_url(url, "the other server")
    assert "TEI" not in str(caught.value)
    assert "secret" not in str(caught.value)
