"""The client of OpenAI's chat API over a real server of it."""

import asyncio
from typing import Any

import pytest

from gateway.errors import (
    ConfigurationError,
    UpstreamError,
    UpstreamRejected,
    UpstreamUnavailable,
)
from gateway.events import Event, UpstreamRetried
from gateway.generators.openai import OpenAIGenerator
from tests.support.chat_stub import ChatStub

pytestmark = pytest.mark.anyio


async def asked(stub: ChatStub, request: str = "Passage:\nred Mars", **how: object) -> str:
    generator = OpenAIGenerator(stub.url, "tiny-chat", **how)  # pyright: ignore[reportArgumentType]
    try:
        async with asyncio.timeout(30):
            return await generator.complete(request)
    finally:
        await generator.aclose()


async def test_one_request_is_one_message_to_the_model() -> None:
    with ChatStub(key="secret") as stub:
        assert await asked(stub, api_key="secret") == '"What about red Mars?"'
    assert stub.requests == [
        {
            "model": "tiny-chat",
            "messages": [{"role": "user", "content": "Passage:\nred Mars"}],
            "temperature": 0.0,
        }
    ]


async def test_what_passes_is_asked_again() -> None:
    events: list[Event] = []
    with ChatStub(failures=(429, 503)) as stub:
        assert await asked(stub, sink=events.append)
    assert [event.service for event in events if isinstance(event, UpstreamRetried)] == ["llm"] * 2


@pytest.mark.parametrize(
    ("failures", "kind", "told"),
    [
        ((401,), ConfigurationError, "llm.api_key"),
        ((404,), ConfigurationError, "llm.url and llm.model"),
        ((400,), UpstreamRejected, "did not take the request"),
        ((500, 500), UpstreamUnavailable, "it failed"),
    ],
)
async def test_what_does_not_pass_is_told(
    failures: tuple[int, ...], kind: type[Exception], told: str
) -> None:
    with ChatStub(failures=failures) as stub, pytest.raises(kind, match=told):
        await asked(stub, timeout_seconds=5)


async def test_an_answer_without_words_is_an_answer_and_not_asked_for_again() -> None:
    with ChatStub() as stub:
        stub.answer = " \n"
        assert await asked(stub, timeout_seconds=5) == ""
    assert len(stub.requests) == 1


async def test_an_answer_without_a_message_is_a_fault() -> None:
    class Mute(ChatStub):
        def reply(self, path: str, key: str | None, body: dict[str, Any]) -> tuple[int, Any]:
            return 200, {"choices": []}

    with Mute() as stub, pytest.raises(UpstreamError, match="answered no completion"):
        await asked(stub, timeout_seconds=5)


async def test_a_server_that_is_away_is_named_within_the_deadline() -> None:
    with ChatStub() as stub:
        url = stub.url
    generator = OpenAIGenerator(url, "tiny-chat", timeout_seconds=1.0)
    with pytest.raises(UpstreamUnavailable, match="the language model at http://127"):
        await generator.complete("x")
    await generator.aclose()
