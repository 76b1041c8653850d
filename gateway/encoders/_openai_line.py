"""A line to a server that speaks OpenAI's protocol: its refusals in our words.

Bodies of refusals differ from server to server, so only the status decides. Known ones: llama.cpp
refuses a whole request with 500 or 400 when one text is over its batch or its context, answers 501
when it was started without `--embeddings`, and 503 while it loads; vLLM answers 404 for an unknown
model and 400 for a long text.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.encoders._openai_wire import SERVICE
from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UnsupportedServer,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Event, Sink, UpstreamCalled, UpstreamRetried
from gateway.tei.line import Limits, Line
from gateway.tei.refusals import BackendFailed

_STATUS: Final = re.compile(r"answered status (\d{3})")
_OURS: Final = re.compile(r"^(?:a )?TEI(?= at | address )")


class TextRefused(UpstreamRejected):
    """The server refuses something of a request: without the guilty text the rest may pass."""


class OpenAILine:
    """One keep-alive line to one server; every error names it and is ours."""

    def __init__(self, url: str, api_key: str | None, limits: Limits, sink: Sink) -> None:
        """Prepare a line; `url` may end in `/v1`, as OpenAI's clients write it.

        Raises:
            ConfigurationError: the address is not an http(s) URL.
        """
        base = url.rstrip("/").removesuffix("/v1")
        try:
            self._line = Line(base, api_key, limits, renamed(sink))
        except ConfigurationError as exc:
            raise ConfigurationError(
                f"openai.url is not usable: {_OURS.sub('the', str(exc))}"
            ) from exc
        self.where: Final = self._line.where

    @property
    def opened(self) -> int:
        """Connections tried so far: when it grows, another server may be at the end."""
        return self._line.opened

    async def call(self, operation: str, path: str, body: bytes | None = None) -> bytes:
        """Send one request, once; GET without a body.

        Raises:
            TextRefused, BackendFailed: the request as it is, or a text of it.
            ConfigurationError, UnsupportedServer: nothing will pass before something is mended.
            UpstreamError: the server is away, full, silent or something else.
        """
        try:
            return (await self._line.call(operation, path, body)).body
        except GatewayError as exc:
            raise translated(exc, self.where) from exc

    async def aclose(self) -> None:
        await self._line.aclose()


def renamed(sink: Sink) -> Sink:
    """Return a sink for the events of a line and its retries, under this service's name."""

    def emit(event: Event) -> None:
        if isinstance(event, UpstreamCalled | UpstreamRetried):
            event = replace(event, service=SERVICE)
        sink(event)

    return emit


def translated(error: GatewayError, where: str) -> GatewayError:
    """Return what an error of the line means for a server that is not TEI."""
    found = _STATUS.search(str(error))
    make = _BY_STATUS.get(int(found[1])) if found else None
    if make is not None:
        return make(f"the embedding server at {where} answered status {found[1] if found else ''}")
    if not isinstance(error, UpstreamError):
        return error  # it names an input, or a key: no word of it is TEI's alone
    kind = next((kind for kind in _KEPT if isinstance(error, kind)), UpstreamRejected)
    message = _OURS.sub("the embedding server", str(error))
    if found and kind is UpstreamRejected:
        message = f"the embedding server at {where} answered status {found[1]}: is it one?"
    return kind(message, service=SERVICE, retry_after_seconds=error.retry_after_seconds)


def _wants_key(said: str) -> GatewayError:
    return ConfigurationError(f"{said}: it wants another API key; set openai.api_key")


def _not_there(said: str) -> GatewayError:
    return UpstreamRejected(
        f"{said}: it has no such route or no such model; check openai.url and openai.model",
        service=SERVICE,
    )


def _makes_no_embeddings(said: str) -> GatewayError:
    return UnsupportedServer(
        f"{said}: it makes no embeddings; start it for them (llama.cpp: --embeddings)"
    )


def _refused(said: str) -> GatewayError:
    return TextRefused(said, service=SERVICE)


def _failed(said: str) -> GatewayError:
    return BackendFailed(said, service=SERVICE, retry_after_seconds=1.0)


_BY_STATUS: Final[dict[int, Callable[[str], GatewayError]]] = {
    400: _refused,
    401: _wants_key,
    403: _wants_key,
    404: _not_there,
    413: _refused,
    422: _refused,
    424: _failed,
    500: _failed,
    501: _makes_no_embeddings,
}
_KEPT: Final = (BackendFailed, UpstreamOverloaded, UpstreamTimeout, UpstreamUnavailable)
