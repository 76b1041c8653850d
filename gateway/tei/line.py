"""One keep-alive HTTP line to one server: a single attempt each, foreign errors made ours."""

import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import httpx
import httpx_aiohttp

from gateway.errors import ConfigurationError, GatewayError
from gateway.events import Sink, UpstreamCalled
from gateway.tei.refusals import SERVICE, refusal, timed_out, unavailable

KEEP_ALIVE_SECONDS: Final = 45.0
READ_BUFFER_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Limits:
    """What we allow ourselves towards one server.

    `timeout_seconds` bounds the silence within one attempt and the time over which attempts are
    repeated; `max_in_flight` counts inputs; `payload_bytes` is TEI's default `--payload-limit`,
    which `/info` does not tell.
    """

    timeout_seconds: float = 30.0
    connect_timeout_seconds: float = 5.0
    max_in_flight: int = 256
    payload_bytes: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, read to its end."""

    body: bytes
    headers: httpx.Headers


class Line:
    """`opened` counts the connections tried: when it grows, another server may be at the end."""

    def __init__(self, url: str, api_key: str | None, limits: Limits, sink: Sink) -> None:
        """Prepare a line; nothing is connected before the first call.

        Raises:
            ConfigurationError: the address is not an http(s) URL.
        """
        base = _require_url(url)
        self.where: Final = f"{base.scheme}://{base.netloc.decode()}"
        self.opened = 0
        self._base = self.where + base.path.rstrip("/")
        self._urls: dict[str, httpx.URL] = {}
        self._sink = sink
        self._limits = limits
        headers = {"content-type": "application/json", "accept": "*/*"}
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        self._http = httpx.AsyncClient(
            transport=self._transport(secure=base.scheme == "https"),
            headers=headers,
            timeout=httpx.Timeout(limits.timeout_seconds, connect=limits.connect_timeout_seconds),
        )

    async def call(self, operation: str, path: str, body: bytes | None = None) -> Answer:
        """GET without a body, POST with one.

        Raises:
            GatewayError: what `wire.refusal` makes of the answer; `UpstreamUnavailable`,
                `UpstreamTimeout` where none came.
        """
        started = time.perf_counter()
        outcome = "ok"
        try:
            response = await self._send(path, body)
            if response.status_code != 200:
                raise refusal(self.where, response.status_code, response.content, response.headers)
            return Answer(response.content, response.headers)
        except GatewayError as exc:
            outcome = exc.slug
            raise
        finally:
            self._sink(UpstreamCalled(SERVICE, operation, outcome, time.perf_counter() - started))

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _send(self, path: str, body: bytes | None) -> httpx.Response:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(self._base + path)
        try:
            if body is None:
                return await self._http.get(url)
            return await self._http.post(url, content=body)
        except (httpx.TransportError, httpx.DecodingError, aiohttp.ClientError, OSError) as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: Exception) -> GatewayError:
        """Tell a silent server from one that is away. The transport's own names mix them up."""
        cause = exc.__cause__ or exc
        if isinstance(cause, aiohttp.SocketTimeoutError):
            return timed_out(
                f"TEI at {self.where} was silent for {self._limits.timeout_seconds:g} s: it is "
                "overloaded or stuck; send less at once or raise the timeout"
            )
        why = type(cause).__name__
        return unavailable(f"TEI at {self.where} cannot be reached, or hung up ({why}): is it up?")

    def _transport(self, *, secure: bool) -> httpx_aiohttp.AiohttpTransport:
        context = (
            ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )

        def session() -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(
                limit=self._limits.max_in_flight + 8,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
                ssl=context,
                socket_factory=self._open_socket,
            )
            return aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=READ_BUFFER_BYTES,
            )

        return httpx_aiohttp.AiohttpTransport(verify=context, client=session)

    def _open_socket(self, address: tuple[Any, ...]) -> socket.socket:
        """Open a socket for an address as `socket.getaddrinfo` lists it."""
        self.opened += 1
        return socket.socket(address[0], address[1], address[2])


def _require_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise ConfigurationError(f"a TEI address is not a URL: {exc}") from exc
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(
            f"TEI address {parsed.host or url!r} must begin with http:// or https://"
        )
    if parsed.userinfo:
        raise ConfigurationError(
            f"TEI address {parsed.host!r} carries a user or password, which TEI does not read: "
            "give its key by the api_key setting"
        )
    return parsed
