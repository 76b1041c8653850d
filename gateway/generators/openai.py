"""A language model behind OpenAI's `/v1/chat/completions`: llama.cpp, vLLM, Ollama, OpenAI itself."""

from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
)
from gateway.events import Sink, discard
from gateway.tei.line import Limits, Line, Speaks
from gateway.tei.refusals import (
    RETRY_AFTER_SECONDS,
    UNREADABLE,
    BackendFailed,
    BrokenAnswer,
    advised,
    unavailable,
)
from gateway.tei.retry import Clock, Patience, patiently

SERVICE: Final = "llm"
AWAY_SECONDS: Final = 10.0
_NAME: Final = "the language model"


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


_read: Final = msgspec.json.Decoder(_Completion).decode


class OpenAIGenerator:
    """Implements `gateway.ports.Generator`; nothing is sent before the first call."""

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_seconds: float = 120.0,
        temperature: float = 0.0,
        sink: Sink = discard,
    ) -> None:
        """Prepare a line to `url`, which may end in `/v1` as OpenAI's clients write it.

        Raises:
            ConfigurationError: the address is not an http(s) URL.
        """
        limits = Limits(timeout_seconds=timeout_seconds, read_timeout_seconds=timeout_seconds)
        base = url.rstrip("/").removesuffix("/v1")
        speaks = Speaks(SERVICE, _NAME, _refusal)
        self._line: Final = Line(base, api_key, limits, sink, speaks=speaks)
        self._model: Final = model
        self._seconds: Final = timeout_seconds
        self._temperature: Final = temperature
        self._sink: Final = sink

    @property
    def model_id(self) -> str:
        return self._model

    async def complete(self, request: str) -> str:
        body = msgspec.json.encode(
            {
                "model": self._model,
                "messages": [{"role": "user", "content": request}],
                "temperature": self._temperature,
            }
        )
        clock = Clock(self._seconds)
        clock.start()
        away = min(self._seconds, AWAY_SECONDS)
        patience = Patience(full_seconds=self._seconds, away_seconds=away, clock=clock)

        async def ask() -> str:
            answer = await self._line.call(
                "complete", "/v1/chat/completions", body, timeout_seconds=max(0.001, clock.left)
            )
            return _content(self._line.where, answer.body)

        return await patiently(ask, "complete", patience, self._sink, service=SERVICE)

    async def aclose(self) -> None:
        await self._line.aclose()


def _content(where: str, body: bytes) -> str:
    try:
        choices = _read(body).choices
    except UNREADABLE as exc:
        raise BrokenAnswer(f"{_NAME} at {where} answered no completion", service=SERVICE) from exc
    if not choices:
        raise BrokenAnswer(f"{_NAME} at {where} answered no completion", service=SERVICE)
    return (choices[0].message.content or "").strip()


def _refusal(where: str, status: int, _body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """Return our error for an answer that is no success; its words may repeat the request."""
    said = f"{_NAME} at {where} answered status {status}"
    if status in {401, 403}:
        return ConfigurationError(f"{said}: it wants another API key; set llm.api_key")
    if status == 404:
        return ConfigurationError(
            f"{said}: it has no such route or no such model; check llm.url and llm.model"
        )
    return advised(_upstream(said, status), headers)


def _upstream(said: str, status: int) -> UpstreamError:
    if status == 429:
        return UpstreamOverloaded(
            f"{said}: try again later", service=SERVICE, retry_after_seconds=RETRY_AFTER_SECONDS
        )
    if status == 500:
        return BackendFailed(f"{said}: it failed", service=SERVICE)
    if status > 500:
        return unavailable(f"{said}: it, or a proxy before it, is not ready", SERVICE)
    return UpstreamRejected(f"{said}: it did not take the request", service=SERVICE)
