"""Vectors cut to a size, and texts of one length above the sliding window."""

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np
import pytest
from litestar.testing import TestClient

from gateway.api.app import create_app
from gateway.bootstrap import open_runtime
from gateway.domain.documents import Document
from gateway.encoders.local import LocalEncoder
from gateway.modelserver.replies import Rows
from tests.silent_faults.conftest import TINY_PROFILE, Server
from tests.silent_faults.marks import injects
from tests.silent_faults.middlemen import behind
from tests.silent_faults.trial import Bench
from tests.support.tiny_corpus import ENGLISH
from tests.support.tiny_gemma import WINDOW

pytestmark = pytest.mark.anyio

MANY: Final = 12


@injects("server-cut")
async def test_a_server_that_cuts_and_does_not_renormalise_is_refused(
    bench: Bench, server: Server, tiny_encoder: LocalEncoder
) -> None:
    async def cut(texts: Sequence[str]) -> Rows:
        return (await tiny_encoder.encode(texts)).vectors[:, :512]

    with server(**behind(cut, tiny_encoder)) as wrong:
        wrong.fail("unnormalised", times=None)
        outcome = await bench.tried(bench.configured(tei={"urls": [wrong.url]}, size=512))
    outcome.require_caught("makes vectors of size 512")


@injects("server-cut")
def test_every_size_is_cut_and_renormalised_here_and_no_other_is_made(
    bench: Bench, server: Server
) -> None:
    with server() as healthy:
        settings = bench.configured(tei={"urls": [healthy.url]})
        with TestClient(create_app(settings)) as client:
            body = {"model": f"{TINY_PROFILE.name}:query", "input": "red planet"}
            for size in TINY_PROFILE.sizes:
                reply = client.post("/v1/embeddings", json=body | {"dimensions": size}).json()
                right = bench.reference.query("red planet", size)
                assert np.allclose(reply["data"][0]["embedding"], right, atol=1e-5)
            refused = client.post("/v1/embeddings", json=body | {"dimensions": 100})
    assert refused.json()["error"]["code"] == "unsupported_size"


@injects("silent-truncation")
async def test_a_server_that_cuts_by_default_is_told_not_to_or_refused(
    bench: Bench, server: Server
) -> None:
    long = " ".join([*ENGLISH, *ENGLISH])
    with server(auto_truncate=True) as cutting:
        settings = bench.configured(tei={"urls": [cutting.url]})
        outcome = await bench.tried(settings, queries=[long])
    outcome.require_caught("input-too-long")
    assert outcome.hits == 0
    with server(auto_truncate=True, max_input_length=512) as shorter:
        settings = bench.configured(tei={"urls": [shorter.url]}, recording=None)
        outcome = await bench.tried(settings)
    outcome.require_caught("cuts texts at 512 tokens without a word")


def equal_texts(bench: Bench) -> list[str]:
    """Texts of exactly one length, some four windows long."""
    prompt = TINY_PROFILE.prompts["document"]
    bases = [" ".join(ENGLISH[at : at + 12]) for at in range(MANY)]
    lengths = [len(bench.reference.ids(prompt + base)) for base in bases]
    longest = max(lengths)
    texts = [
        base + " the" * (longest - length) for base, length in zip(bases, lengths, strict=True)
    ]
    assert {len(bench.reference.ids(prompt + text)) for text in texts} == {longest}
    assert longest > 3 * WINDOW
    return texts


@injects("no-window")
async def test_texts_of_one_length_above_the_window_never_share_a_pass_alone(
    bench: Bench, server: Server
) -> None:
    texts = equal_texts(bench)
    documents = [Document(f"d{at}", text) for at, text in enumerate(texts)]
    with server() as wrong:
        wrong.fail("no-window", times=None)
        settings = bench.configured(tei={"urls": [wrong.url]})
        outcome = await bench.tried(settings, documents=documents, queries=texts[:3])
    outcome.require_harmless(MANY)


@injects("no-window")
async def test_lone_texts_of_one_length_that_meet_at_the_server_are_right(
    bench: Bench, server: Server
) -> None:
    texts = equal_texts(bench)
    prompt = TINY_PROFILE.prompts["document"]
    with server() as wrong:
        wrong.fail("no-window", times=None)
        async with open_runtime(bench.configured(tei={"urls": [wrong.url]})) as runtime:
            encode = runtime.embedder.encoder.encode
            found = await asyncio.gather(*(encode([prompt + text]) for text in texts))
    rows = np.concatenate([encoding.vectors for encoding in found])
    right = np.stack([bench.reference.document(text, None, 768) for text in texts])
    assert np.abs(rows - right).max() < 1e-4


@injects("no-window")
async def test_the_tokens_of_texts_kept_apart_are_counted_as_if_they_were_not(
    bench: Bench, server: Server
) -> None:
    texts = equal_texts(bench)
    prompt = TINY_PROFILE.prompts["document"]
    with server() as wrong:
        wrong.fail("no-window", times=None)
        async with open_runtime(bench.configured(tei={"urls": [wrong.url]})) as runtime:
            encoding = await runtime.embedder.encoder.encode([prompt + text for text in texts])
    assert encoding.tokens == sum(len(bench.reference.ids(prompt + text)) for text in texts)
    right = np.stack([bench.reference.document(text, None, 768) for text in texts])
    assert np.abs(encoding.vectors - right).max() < 1e-4
