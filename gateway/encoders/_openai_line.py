"""What servers of OpenAI's protocol refuse, in our words.

The status decides: bodies differ from server to server, and are only told on. Known ones: llama.cpp
refuses a whole request with 500 or 400 when one text is over its batch or its context, answers 501
when it was started without `--embeddings`, and 503 while it loads; vLLM answers 404 for an unknown
model and 400 for a long text; OpenAI itself answers 429 for a rate, which passes, and for a spent
quota, which does not.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gateway.encoders._openai_wire import SERVICE
from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UnsupportedServer,
    UpstreamOverloaded,
    UpstreamQuota,
    UpstreamRejected,
)
from gateway.events import Sink
from gateway.tei.line import Limits, Line, Speaks
from gateway.tei.refusals import (
    RETRY_AFTER_SECONDS,
    TOLD_CHARACTERS,
    UNREADABLE,
    BackendFailed,
    InputRejected,
    TooMuchAtOnce,
    advised,
    printable,
    unavailable,
)

SPENT: Final = "insufficient_quota"
_NAME: Final = "the embedding server"
_ECHO: Final = re.compile(r"""input_value=|["']input["']\s*:\s*["'\[{]|last read:""")
"""Where the words of a validator (pydantic, nlohmann's JSON) begin to repeat what was sent."""


class _Error(msgspec.Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None


class _Body(_Error):
    """OpenAI's `{"error": {...}}` and others.

    Old versions of vLLM leave `error` out, Ollama makes it a string, and FastAPI writes `detail`: a
    list there repeats the input.
    """

    error: _Error | str | None = None
    detail: Any = None


_read: Final = msgspec.json.Decoder(_Body).decode


def line_to(url: str, api_key: str | None, limits: Limits, sink: Sink) -> Line:
    """Prepare a line to one server; `url` may end in `/v1`, as OpenAI's clients write it.

    Raises:
        ConfigurationError: the address is not an http(s) URL.
    """
    base = url.rstrip("/").removesuffix("/v1")
    return Line(base, api_key, limits, sink, speaks=Speaks(SERVICE, _NAME, refusal))


def refusal(where: str, status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """Return our error for an answer that is no success; `where` names the server."""
    said = f"{_NAME} at {where} answered status {status}"
    if status in {401, 403}:  # what it says may hold the key
        return _wants_key(said)
    message, spent = _told(body)
    if message:
        said = f'{said} ("{message}")'
    if status == 429 and spent:
        return advised(_spent(said), headers)
    make = _BY_STATUS.get(status, _away if status >= 500 else _no_such_server)
    return advised(make(said), headers)


def _told(body: bytes) -> tuple[str, bool]:
    """The server's own words on one line, of bounded length, and whether a quota is spent."""
    try:
        read = _read(body)
    except UNREADABLE:
        return "", False
    error = read if read.error is None else read.error
    if isinstance(error, str):
        return _printable(error), False
    detail = read.detail if isinstance(read.detail, str) else ""
    return _printable(error.message or detail), SPENT in {error.code, error.type}


def _printable(text: str) -> str:
    return printable(_ECHO.split(text[: 4 * TOLD_CHARACTERS], maxsplit=1)[0])


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
    return InputRejected(said, service=SERVICE)


def _too_much(said: str) -> GatewayError:
    return TooMuchAtOnce(said, service=SERVICE)


def _failed(said: str) -> GatewayError:
    return BackendFailed(said, service=SERVICE, retry_after_seconds=RETRY_AFTER_SECONDS)


def _full(said: str) -> GatewayError:
    return UpstreamOverloaded(
        f"{said}: try again later, or lower openai.max_in_flight",
        service=SERVICE,
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def _spent(said: str) -> GatewayError:
    return UpstreamQuota(
        f"{said}: the quota of its account is spent; raise it, or set another openai.api_key",
        service=SERVICE,
    )


def _away(said: str) -> GatewayError:
    return unavailable(f"{said}: it, or a proxy before it, is not ready", SERVICE)


def _no_such_server(said: str) -> GatewayError:
    return UpstreamRejected(f"{said}: is it one?", service=SERVICE)


_BY_STATUS: Final[Mapping[int, Callable[[str], GatewayError]]] = {
    400: _refused,
    404: _not_there,
    413: _too_much,
    422: _refused,
    424: _failed,
    429: _full,
    500: _failed,
    501: _makes_no_embeddings,
}
