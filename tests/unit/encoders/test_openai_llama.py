"""The traps of llama.cpp's own server: it fails a whole request for one text, and says so by 500."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.encoders.openai import Expectation, OpenAIEncoder
from gateway.errors import ConfigurationError, UnsupportedServer, UpstreamRejected
from tests.support.llama_server import LlamaServer
from tests.support.tiny_corpus import ENGLISH

pytest.importorskip("xllamacpp", reason="needs the extra `dev`")

pytestmark = pytest.mark.anyio

EXPECT = Expectation(("tests/tiny-embeddinggemma",), 96, 2048, ("float32",))
LONG = " ".join(ENGLISH[:30])


@asynccontextmanager
async def encoder_of(
    server: LlamaServer, tokenizer: Path, **options: Any
) -> AsyncGenerator[OpenAIEncoder]:
    opened = await OpenAIEncoder.connect(
        server.url, expect=options.pop("expect", EXPECT), tokenizer=tokenizer, **options
    )
    async with aclosing(opened):
        yield opened


@pytest.mark.parametrize(
    ("limits", "status"), [({"batch": 256}, 500), ({"context": 256}, 400)], ids=["batch", "context"]
)
async def test_a_server_with_too_little_room_fails_the_long_text_alone(
    square_gguf: Path, square_gemma: Path, limits: dict[str, Any], status: int
) -> None:
    texts = [*ENGLISH[:6], LONG, *ENGLISH[6:12]]
    with LlamaServer(square_gguf, **limits) as server:
        async with encoder_of(server, square_gemma) as encoder:
            encoding = await encoder.encode(texts)
            (alone,) = (await encoder.encode(ENGLISH[6:7])).vectors
    assert set(encoding.refused) == {6}
    assert isinstance(encoding.refused[6], UpstreamRejected)
    assert f"status {status}" in str(encoding.refused[6])
    assert f'status {status} ("input (' in str(encoding.refused[6]), "in its own words"
    assert "--ubatch-size" in str(encoding.refused[6])
    np.testing.assert_allclose(encoding.rows[7], alone, rtol=0, atol=3e-4)


async def test_it_is_used_again_after_it_was_killed(square_gguf: Path, square_gemma: Path) -> None:
    server = LlamaServer(square_gguf)
    with server:
        opened = encoder_of(server, square_gemma)
        encoder = await opened.__aenter__()
        before = (await encoder.encode(ENGLISH[:3])).vectors
    again = LlamaServer(square_gguf, port=int(server.url.rpartition(":")[2]))
    with again:
        after = (await encoder.encode(ENGLISH[:3])).vectors
        await opened.__aexit__(None, None, None)
    np.testing.assert_array_equal(before, after)


async def test_its_key_is_sent_and_another_one_refused(
    square_gguf: Path, square_gemma: Path
) -> None:
    with LlamaServer(square_gguf, api_key="right") as server:
        async with encoder_of(server, square_gemma, api_key="right") as encoder:
            assert (await encoder.encode(["a"])).vectors.shape == (1, 96)
        with pytest.raises(ConfigurationError, match=r"openai\.api_key"):
            async with encoder_of(server, square_gemma, api_key="wrong"):
                pass


async def test_a_model_of_another_size_is_refused(square_gguf: Path, square_gemma: Path) -> None:
    expect = Expectation(("tests/tiny-embeddinggemma",), 768, 2048, ("float32",))
    with (
        LlamaServer(square_gguf) as server,
        pytest.raises(UnsupportedServer, match=r"size 96.*768"),
    ):
        async with encoder_of(server, square_gemma, expect=expect):
            pass
