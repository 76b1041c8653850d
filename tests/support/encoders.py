"""Every encoder of the gateway, opened for a test and closed after it."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import pytest

from gateway.encoders.cached import CachedEncoder
from gateway.encoders.fake import FakeEncoder
from gateway.encoders.local import LocalEncoder
from gateway.encoders.minilm import MiniLMEncoder
from gateway.encoders.openai import OpenAIEncoder
from gateway.encoders.single_flight import SingleFlightEncoder
from gateway.encoders.tei import Expectation, TEIEncoder
from gateway.ports import Encoder
from tests.support.caches import open_cache
from tests.support.llama_server import LlamaServer
from tests.support.tei_stub import TEIStub

FolderOf: TypeAlias = Callable[[str], Path]
"""Returns the folder of a checkpoint by the name of its fixture."""


@dataclass(frozen=True, slots=True)
class Case:
    """How an encoder is opened, and what may be asked of it beyond the port.

    `tolerance` is the largest difference of a component between a text alone and in a batch;
    `keeps_spaces` says that texts which differ only in outer blanks have different vectors.
    """

    open: Callable[[FolderOf], AbstractAsyncContextManager[Encoder]]
    kind: str
    size: int
    max_tokens: int
    tolerance: float = 0.0
    keeps_spaces: bool = True
    languages: tuple[str, ...] = field(default=())


@asynccontextmanager
async def _fake(_folder_of: FolderOf) -> AsyncGenerator[Encoder, None]:
    async with aclosing(FakeEncoder()) as encoder:
        yield encoder


@asynccontextmanager
async def _shared(_folder_of: FolderOf) -> AsyncGenerator[Encoder, None]:
    async with aclosing(SingleFlightEncoder(FakeEncoder())) as encoder:
        yield encoder


def _cached(kind: str) -> Callable[[FolderOf], AbstractAsyncContextManager[Encoder]]:
    """The fake behind a cache, and behind single flight as the gateway joins them."""

    @asynccontextmanager
    async def opened(_folder_of: FolderOf) -> AsyncGenerator[Encoder, None]:
        async with open_cache(kind) as cache:
            cached = CachedEncoder(FakeEncoder(), cache, "fake-space")
            async with aclosing(SingleFlightEncoder(cached)) as encoder:
                yield encoder

    return opened


@asynccontextmanager
async def _minilm(_folder_of: FolderOf) -> AsyncGenerator[Encoder, None]:
    pytest.importorskip("onnxruntime", reason="needs the extra `embedded`")
    async with aclosing(await MiniLMEncoder.load()) as encoder:
        yield encoder


def _local(fixture: str) -> Callable[[FolderOf], AbstractAsyncContextManager[Encoder]]:
    @asynccontextmanager
    async def opened(folder_of: FolderOf) -> AsyncGenerator[Encoder, None]:
        folder = str(folder_of(fixture))
        async with aclosing(await LocalEncoder.load(folder, device="cpu")) as encoder:
            yield encoder

    return opened


@asynccontextmanager
async def _tei(_folder_of: FolderOf) -> AsyncGenerator[Encoder, None]:
    expect = Expectation(("google/embeddinggemma-300m",), 768, 2048, ("float32",))
    with TEIStub("1.9.3", encoder=FakeEncoder()) as stub:
        async with aclosing(await TEIEncoder.connect([stub.url], expect=expect)) as encoder:
            yield encoder


@asynccontextmanager
async def _tei_over_tiny(folder_of: FolderOf) -> AsyncGenerator[Encoder, None]:
    """A server with the tiny checkpoint behind it, whose tokenizer the gateway holds itself."""
    folder = folder_of("tiny_gemma")
    expect = Expectation(("tests/tiny-embeddinggemma",), 768, 2048, ("float32",))
    async with aclosing(await LocalEncoder.load(str(folder), device="cpu")) as behind:
        with TEIStub(encoder=behind, model_id=expect.model_ids[0]) as stub:
            opened = await TEIEncoder.connect([stub.url], expect=expect, tokenizer=folder)
            async with aclosing(opened) as encoder:
                yield encoder


@asynccontextmanager
async def _openai_over_gguf(folder_of: FolderOf) -> AsyncGenerator[Encoder, None]:
    """The tiny checkpoint in llama.cpp: an engine and a server that none of us wrote."""
    pytest.importorskip("xllamacpp", reason="needs the extra `dev`")
    expect = Expectation(("tests/tiny-embeddinggemma",), 96, 2048, ("float32",))
    tokenizer = folder_of("square_gemma")
    with LlamaServer(folder_of("square_gguf")) as server:
        opened = await OpenAIEncoder.connect(server.url, expect=expect, tokenizer=tokenizer)
        async with aclosing(opened) as encoder:
            yield encoder


CASES: Mapping[str, Case] = MappingProxyType(
    {
        "fake": Case(_fake, "fake", 768, 2048),
        "fake-single-flight": Case(_shared, "fake", 768, 2048),
        "fake-memory-cache": Case(_cached("memory"), "fake", 768, 2048),
        "fake-disk-cache": Case(_cached("disk"), "fake", 768, 2048),
        "minilm": Case(_minilm, "minilm", 384, 256, keeps_spaces=False, languages=("en",)),
        "local-tiny-gemma": Case(_local("tiny_gemma"), "local", 768, 2048, tolerance=1e-5),
        "local-minilm": Case(
            _local("minilm_checkpoint"), "local", 384, 256, tolerance=1e-5, keeps_spaces=False
        ),
        "tei": Case(_tei, "tei", 768, 2048, tolerance=1e-6),
        "tei-tiny-gemma": Case(_tei_over_tiny, "tei", 768, 2048, tolerance=1e-5),
        "openai-gguf": Case(_openai_over_gguf, "openai", 96, 2048, tolerance=3e-4),
    }
)
