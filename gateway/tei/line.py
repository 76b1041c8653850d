"""One keep-alive HTTP line to one server: a single attempt each, foreign errors made ours."""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import httpx

from gateway.errors import ConfigurationError, GatewayError
from gateway.events import Sink, UpstreamCalled
from gateway.tei.refusals import SERVICE, refusal, timed_out, unavailable
from gateway.tei.transport import Network, Response, Through, Transport

NEARLY_ALL: Final = 0.95
"""A request with at least so much of its deadline left has the usual time-outs, made once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What we allow ourselves towards one server.

    `timeout_seconds` is the deadline of a request with all its repetitions, counted from its first
    turn; `read_timeout_seconds` bounds the silence within one attempt, `connect_timeout_seconds` the
    opening of a connection, `pool_timeout_seconds` the wait for a free one. `max_in_flight` counts
    inputs; `payload_bytes` is TEI's default `--payload-limit`, which `/info` does not tell.
    """

    timeout_seconds: float = 60.0
    read_timeout_seconds: float = 30.0
    connect_timeout_seconds: float = 5.0
    pool_timeout_seconds: float = 10.0
    max_in_flight: int = 1024
    payload_bytes: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, read to its end."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Speaks:
    """What is at the other end of a line.

    `service` is its name in events, errors and settings, `name` the one in messages; `refusal` makes
    our error of an answer that is no success: where it came from, its status, body and headers.
    """

    service: str
    name: str
    refusal: Callable[[str, int, bytes, Mapping[str, str]], GatewayError]


TEI: Final = Speaks(SERVICE, "TEI", refusal)


class Line:
    """`opened` counts the connections tried: when it grows, another server may be at the end."""

    def __init__(  # noqa: PLR0913  what is optional is given by name
        self,
        url: str,
        api_key: str | None,
        limits: Limits,
        sink: Sink,
        *,
        address: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        speaks: Speaks = TEI,
    ) -> None:
        """Prepare a line; nothing is connected before the first call.

        `address` is the IP address to connect to, where the host of the URL has several; `transport`
        is something else than the network to send through.

        Raises:
            ConfigurationError: the address is not an http(s) URL.
        """
        base = require_url(url, speaks.name)
        name = f"{base.scheme}://{base.netloc.decode()}"
        self.where: Final = f"{name} ({address})" if address else name
        self.opened = 0
        self._base = name + base.path.rstrip("/")
        self._sink = sink
        self._limits = limits
        self._service = speaks.service
        self._name = speaks.name
        self._refusal = speaks.refusal
        self._timeouts = _timeouts(limits)
        headers = {"content-type": "application/json", "accept": "*/*"}
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        self._transport: Transport = (
            self._network(headers, secure=base.scheme == "https", address=address)
            if transport is None
            else Through(transport, headers)
        )

    def _network(self, headers: Mapping[str, str], *, secure: bool, address: str | None) -> Network:
        return Network(
            headers,
            secure=secure,
            address=address,
            connections=self._limits.max_in_flight + 8,
            open_socket=self._open_socket,
        )

    async def call(
        self,
        operation: str,
        path: str,
        body: bytes | None = None,
        *,
        timeout_seconds: float | None = None,
    ) -> Answer:
        """GET without a body, POST with one. `timeout_seconds` shortens every time-out of the limits.

        Raises:
            GatewayError: what `Speaks.refusal` makes of the answer; `UpstreamUnavailable`,
                `UpstreamTimeout` where none came.
        """
        started = time.perf_counter()
        outcome = "ok"
        try:
            response = self._accepted(await self._send(path, body, timeout_seconds))
        except GatewayError as exc:
            outcome = exc.slug
            raise
        except asyncio.CancelledError:
            outcome = "cancelled"
            raise
        else:
            return Answer(response.body, response.headers)
        finally:
            seconds = time.perf_counter() - started
            self._sink(UpstreamCalled(self._service, operation, outcome, seconds))

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _send(self, path: str, body: bytes | None, seconds: float | None) -> Response:
        timeouts = self._timeouts
        if seconds is not None and seconds < NEARLY_ALL * self._limits.timeout_seconds:
            timeouts = _timeouts(self._limits, max(0.001, seconds))
        try:
            return await self._transport.send(self._base + path, body, timeouts)
        except (aiohttp.ClientError, httpx.TransportError, OSError) as exc:
            raise self._failed(exc) from exc

    def _accepted(self, response: Response) -> Response:
        if response.status != 200:
            raise self._refusal(self.where, response.status, response.body, response.headers)
        return response

    def _failed(self, exc: Exception) -> GatewayError:
        """Tell a silent server from one that is away. The transport's own names mix them up."""
        cause = exc.__cause__ or exc
        server = f"{self._name} at {self.where}"
        if isinstance(cause, aiohttp.SocketTimeoutError) or type(exc) is TimeoutError:
            limits = self._limits
            bound = limits.read_timeout_seconds < limits.timeout_seconds
            setting = "read_timeout_seconds" if bound else "timeout_seconds"
            return timed_out(
                f"{server} was silent too long: it is overloaded or stuck; send less at once or "
                f"raise {self._service}.{setting}",
                self._service,
            )
        why = type(cause).__name__
        return unavailable(
            f"{server} cannot be reached, or hung up ({why}): is it up?", self._service
        )

    def _open_socket(self, address: tuple[Any, ...]) -> socket.socket:
        """Open a socket for an address as `socket.getaddrinfo` lists it."""
        self.opened += 1
        return socket.socket(address[0], address[1], address[2])


def _timeouts(limits: Limits, most: float = float("inf")) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(
        total=min(most, limits.timeout_seconds),  # an answer that only drips in ends, too
        sock_connect=min(most, limits.connect_timeout_seconds),
        sock_read=min(most, limits.read_timeout_seconds, limits.timeout_seconds),
        connect=min(most, limits.pool_timeout_seconds + limits.connect_timeout_seconds),
    )


def require_url(url: str, name: str = TEI.name) -> httpx.URL:
    """Parse the address of a server that messages call `name`.

    Raises:
        ConfigurationError: it is not an http(s) URL, or carries a password.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise ConfigurationError(f"{name} address is not a URL: {exc}") from exc
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(
            f"{name} address {parsed.host or url!r} must begin with http:// or https://"
        )
    if parsed.userinfo:
        raise ConfigurationError(
            f"{name} address {parsed.host!r} carries a user or password, which {name} does not "
            "read: give its key by the api_key setting"
        )
    return parsed
