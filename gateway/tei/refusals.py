"""What TEI's refusals mean, in our words.

Its statuses differ between versions (a validation error is 413 up to 1.8.3 and 422 from 1.9.0, where
422 also means malformed JSON), so a refusal is read by the `error_type` (native routes) or `type`
(OpenAI route) of its body first, and by status only where there is none.
"""

import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from gateway.errors import (
    ConfigurationError,
    GatewayError,
    InputTooLong,
    InvalidText,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)

SERVICE: Final = "tei"
RETRY_AFTER_SECONDS: Final = 1.0
"""What we advise callers: TEI itself never sends Retry-After."""


TOLD_CHARACTERS: Final = 300
"""Most characters of a server's own words that are told on."""
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading a body that is not the expected JSON raises."""


class BackendFailed(UpstreamUnavailable):
    """Inference failed (424: out of memory, a CUDA error): may pass once, rarely twice."""


class TooMuchAtOnce(UpstreamRejected):
    """The batch or the body is over a limit of the server: halves of it may pass."""


class InputRejected(UpstreamRejected):
    """The server did not take a request for what is in it: one of its texts may be to blame."""


class BrokenAnswer(UpstreamError):
    """An answer with status 200 that is not one: another server, or another try, may do better."""


class _ErrorBody(msgspec.Struct):
    """Both forms: native `{error, error_type}`, OpenAI `{message, type, code}`."""

    error: str = ""
    error_type: str = ""
    message: str = ""
    type: str = ""


_read_error: Final = msgspec.json.Decoder(_ErrorBody).decode


def refusal(where: str, status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """Return our error for an answer that is no success; `where` names the server."""
    told = _ErrorBody()
    if headers.get("content-type", "").startswith("application/json"):
        try:
            told = _read_error(body)
        except UNREADABLE:
            told = _ErrorBody()
    text = printable(told.error or told.message)
    by_type = BY_TYPE.get(told.error_type or told.type)
    error = by_type(f"TEI at {where}: {text}") if by_type else _by_status(where, status)
    return advised(error, headers)


def printable(text: str) -> str:
    """A server's own words on one line, no longer than a message should be."""
    text = text[: 4 * TOLD_CHARACTERS]
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= TOLD_CHARACTERS else f"{line[: TOLD_CHARACTERS - 1]}…"


def advised(error: GatewayError, headers: Mapping[str, str]) -> GatewayError:
    """Let an error carry the pause that the headers of the answer ask for."""
    asked = _asked_pause(headers.get("retry-after"))
    if asked is not None and isinstance(error, UpstreamError):
        error.retry_after_seconds = asked
        error.asked_to_wait = True
    return error


def unavailable(message: str, service: str = SERVICE) -> UpstreamUnavailable:
    return UpstreamUnavailable(message, service=service, retry_after_seconds=RETRY_AFTER_SECONDS)


def timed_out(message: str, service: str = SERVICE) -> UpstreamTimeout:
    return UpstreamTimeout(message, service=service, retry_after_seconds=RETRY_AFTER_SECONDS)


def _overloaded(message: str) -> UpstreamOverloaded:
    return UpstreamOverloaded(
        f"{message}: try again later, or give it more replicas or permits",
        service=SERVICE,
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def _backend_failed(message: str) -> UpstreamUnavailable:
    return BackendFailed(message, service=SERVICE, retry_after_seconds=RETRY_AFTER_SECONDS)


def _invalid(message: str) -> GatewayError:
    if _TOO_LONG.search(message):
        return InputTooLong(f"{message}; split the text, nothing is cut silently", field="text")
    if "maximum allowed batch size" in message:
        return TooMuchAtOnce(message, service=SERVICE)
    return InputRejected(message, service=SERVICE)


def _untokenizable(message: str) -> GatewayError:
    return InvalidText(f"{message}; the model's tokenizer cannot read the text", field="text")


def _empty(message: str) -> GatewayError:
    return InvalidText(message, field="text")


_TOO_LONG: Final = re.compile(r"must have less than \d+ (tokens|characters)")

BY_TYPE: Final[Mapping[str, Callable[[str], GatewayError]]] = {
    "Unhealthy": unavailable,
    "Backend": _backend_failed,
    "Overloaded": _overloaded,
    "Validation": _invalid,
    "Tokenizer": _untokenizable,
    "Empty": _empty,
}
"""Every value of TEI's `ErrorType` enum (router/src/lib.rs)."""


BY_STATUS: Final[Mapping[int, Callable[[str], GatewayError]]] = {
    400: lambda told: InputRejected(f"{told}: it cannot read the request", service=SERVICE),
    401: lambda told: ConfigurationError(
        f"{told}: it wants another API key; set the one it was started with"
    ),
    413: lambda told: TooMuchAtOnce(f"{told}: the body is over its payload limit", service=SERVICE),
    422: lambda told: InputRejected(f"{told}: it cannot read the request", service=SERVICE),
    424: _backend_failed,
    429: _overloaded,
}
"""Statuses without TEI's own body: of axum, which reads requests for TEI, or of a proxy."""


def _by_status(where: str, status: int) -> GatewayError:
    message = f"TEI at {where} answered status {status}"
    if status in BY_STATUS:
        return BY_STATUS[status](message)
    if status >= 500:
        return unavailable(f"{message}: it, or a proxy before it, is not ready")
    return UpstreamRejected(f"{message}: is there a TEI server at that address?", service=SERVICE)


def _asked_pause(header: str | None) -> float | None:
    """Seconds that a `Retry-After` asks for, written as seconds or as a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, until.timestamp() - time.time())
