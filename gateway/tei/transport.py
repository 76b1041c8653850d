"""httpx's transport seam over aiohttp, the cheapest of the wires measured (decision 9)."""

import socket
import ssl
from collections.abc import Callable
from typing import Any, Final, cast

import aiohttp
import httpx
import httpx_aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

KEEP_ALIVE_SECONDS: Final = 45.0
READ_BUFFER_BYTES: Final = 1 << 18


def transport_to(
    *,
    secure: bool,
    address: str | None,
    connections: int,
    open_socket: Callable[[tuple[Any, ...]], socket.socket],
) -> httpx.AsyncBaseTransport:
    """Return a keep-alive transport to one server; `open_socket` is called for each connection.

    `address` is the IP address that every name stands for; None asks the resolver.
    """
    context = ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=connections,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ssl=context,
            resolver=None if address is None else _Pinned(address),
            socket_factory=open_socket,
        )
        return aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=READ_BUFFER_BYTES
        )

    return WholeAnswers(verify=context, client=session)


class WholeAnswers(httpx_aiohttp.AiohttpTransport):
    """The transport, reading each answer in one piece: its own way is to stream pieces of 16 KB."""

    _session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._session is None:
            self._session = self.client = self.get_client()
        seconds = cast("dict[str, float]", request.extensions["timeout"])
        async with self._session.request(
            request.method,
            str(request.url),
            headers=request.headers,
            data=request.content or None,
            allow_redirects=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(
                sock_connect=seconds["connect"], sock_read=seconds["read"], connect=seconds["pool"]
            ),
        ) as response:
            body = await response.read()
            return httpx.Response(
                response.status, headers=response.raw_headers, content=body, request=request
            )


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
