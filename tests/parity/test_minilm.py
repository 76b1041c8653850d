"""The embedded int8 model against the float32 checkpoint it was made from."""

from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from gateway.domain.vectors import Matrix
from gateway.embedding.catalog import ALL_MINILM_L6_V2
from gateway.embedding.embedder import Embedder
from gateway.embedding.texts import Input
from gateway.encoders.local import LocalEncoder
from gateway.encoders.minilm import MiniLMEncoder
from gateway.ports import Encoder
from tests.support.tiny_corpus import ENGLISH

pytestmark = pytest.mark.anyio

PARAGRAPHS = [" ".join(ENGLISH[start : start + 8]) for start in range(0, 72, 8)]
TEXTS = [*ENGLISH, *PARAGRAPHS, "Mars", "  two   blanks  ", "C'est la vie — naïve café"]
QUERIES = {
    "Why is Mars red?": 1,
    "How should I keep onions?": 14,
    "What do bees make from flowers?": 54,
    "Who chooses the mayor?": 43,
    "What makes the tides rise?": 6,
}


async def embedded(encoder: Encoder, task: str, texts: list[str]) -> Matrix:
    embedder = Embedder(ALL_MINILM_L6_V2, encoder)
    return (await embedder.embed(task, [Input(text) for text in texts])).vectors


async def test_int8_vectors_lie_within_cosine_999_and_rank_alike(minilm_checkpoint: Path) -> None:
    small = await MiniLMEncoder.load()
    full = await LocalEncoder.load(str(minilm_checkpoint), device="cpu")
    async with aclosing(small), aclosing(full):
        ours, theirs = [await embedded(one, "document", TEXTS) for one in (small, full)]
        asked = [await embedded(one, "query", list(QUERIES)) for one in (small, full)]
        counts = [await one.count_tokens(TEXTS) for one in (small, full)]

    cosines = np.einsum("ij,ij->i", ours, theirs)
    assert cosines.min() >= 0.999
    assert np.abs(ours - theirs).max() > 1e-6, "both sides are the same model"
    assert counts[0] == counts[1]
    for queries, documents in ((asked[0], ours), (asked[1], theirs)):
        assert (queries @ documents[: len(ENGLISH)].T).argmax(axis=1).tolist() == [
            *QUERIES.values()
        ]
