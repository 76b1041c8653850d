"""One keep-alive session of aiohttp to one server, the cheapest of the wires measured (decision 9)."""

import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult

KEEP_ALIVE_SECONDS: Final = 45.0
READ_BUFFER_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Transport(Protocol):
    """What carries single requests."""

    async def send(
        self, url: str, body: bytes | None, timeouts: aiohttp.ClientTimeout, /
    ) -> Response:
        """GET without a body, POST with one; redirects are not followed."""
        ...

    async def aclose(self) -> None: ...


class Network:
    """Sends single requests, and reads each answer in one piece; errors are aiohttp's own."""

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        secure: bool,
        address: str | None,
        connections: int,
        open_socket: Callable[[tuple[Any, ...]], socket.socket],
    ) -> None:
        """Prepare at most so many `connections`; `open_socket` is called for each of them.

        `headers` go with every request. `address` is the IP address that every name stands for;
        None asks the resolver.
        """
        self._headers: Final = dict(headers)
        self._secure: Final = secure
        self._address: Final = address
        self._connections: Final = connections
        self._open_socket: Final = open_socket
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(self, url: str, body: bytes | None, timeouts: aiohttp.ClientTimeout) -> Response:
        """GET without a body, POST with one; redirects are not followed."""
        if self._closed:
            raise aiohttp.ClientConnectionError("the line is closed")
        if self._session is None:
            self._session = self._open()
        method = "GET" if body is None else "POST"
        async with self._session.request(
            method, url, data=body, allow_redirects=False, timeout=timeouts
        ) as response:
            return Response(response.status, await response.read(), response.headers)

    async def aclose(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """Open a session: only the event loop that uses it can."""
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ssl=ssl.create_default_context() if self._secure else True,
            resolver=None if self._address is None else _Pinned(self._address),
            socket_factory=self._open_socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=READ_BUFFER_BYTES,
        )


class Through:
    """Sends through a transport of httpx, which replaces the network; errors are httpx's own."""

    def __init__(self, transport: httpx.AsyncBaseTransport, headers: Mapping[str, str]) -> None:
        self._transport: Final = transport
        self._headers: Final = dict(headers)

    async def send(
        self, url: str, body: bytes | None, _timeouts: aiohttp.ClientTimeout
    ) -> Response:
        method = "GET" if body is None else "POST"
        request = httpx.Request(method, url, headers=self._headers, content=body)
        response = await self._transport.handle_async_request(request)
        return Response(response.status_code, await response.aread(), response.headers)

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Pinned(AbstractResolver):
    """Resolves every name to one address: a name with several is several replicas."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=family,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing is held open."""
