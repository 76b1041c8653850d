"""The fake's own promises: reproducible, rankable, quick, and as strict as a real model."""

import asyncio
import hashlib
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.vectors import Matrix, shorten
from gateway.encoders.fake import FakeEncoder
from gateway.errors import ConfigurationError, InputTooLong
from tests.support.tiny_corpus import ENGLISH, RUSSIAN

pytestmark = pytest.mark.anyio

DIGEST = "a87b2a7d928fd1e0"
SCRIPT = """
import asyncio, hashlib
from gateway.encoders.fake import FakeEncoder
rows = asyncio.run(FakeEncoder().encode(["Mars is the red planet.", "Марс 🚀 火星"])).vectors
print(hashlib.sha256(rows.astype("<f4").tobytes()).hexdigest())
"""


def run(texts: list[str], *, size: int = 768) -> Matrix:
    return asyncio.run(FakeEncoder(size=size).encode(texts)).vectors


def test_vectors_are_the_same_in_every_process_and_release() -> None:
    rows = run(["Mars is the red planet.", "Марс 🚀 火星"])
    here = hashlib.sha256(rows.astype("<f4").tobytes()).hexdigest()

    other = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )

    assert here == other.stdout.strip()
    assert here.startswith(DIGEST)


def test_texts_that_share_words_are_nearer() -> None:
    texts = ["the red planet mars", "mars is a red planet", "planets", "how to cook fish soup"]
    unit = shorten(run(texts), 768)
    to_first = unit @ unit[0]

    assert to_first[1] > 0.6
    assert to_first[1] > to_first[2] > to_first[3]


@pytest.mark.parametrize("size", [768, 512, 256, 128])
def test_words_of_a_text_find_it_among_others_at_every_size(size: int) -> None:
    corpus = [*ENGLISH, *RUSSIAN]
    documents = shorten(run(corpus), size)
    asked = shorten(run([" ".join(text.split()[::2]) for text in corpus]), size)

    hits = (asked @ documents.T).argmax(axis=1) == np.arange(len(corpus))

    assert hits.mean() > 0.9


def test_vectors_are_raw_and_differ_for_any_two_texts() -> None:
    rows = run(["red planet", "red  planet", "planet red", "Red planet", "red planet\n"])

    assert (np.abs(np.linalg.norm(rows, axis=1) - 1) > 0.5).all()
    assert len(np.unique(rows, axis=0)) == 5


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=8))
def test_any_text_has_a_direction_at_every_size_and_does_not_depend_on_its_batch(
    texts: list[str],
) -> None:
    rows = run(texts)

    for size in (768, 128):
        assert np.isfinite(shorten(rows, size)).all()
    np.testing.assert_array_equal(rows, np.concatenate([run([text]) for text in texts]))


@given(st.text(max_size=200))
def test_no_token_is_shorter_than_a_byte(text: str) -> None:
    (count,) = asyncio.run(FakeEncoder().count_tokens([text]))

    assert 2 <= count <= len(text.encode(errors="surrogatepass")) + 2


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Mars is red.", 4),
        ("", 0),
        (" \n\t ", 0),
        ("x" * 33, 3),
        ("сквозной_тест = 3", 3),
        ("赤い惑星", 4),
        ("🚀🚀", 2),
    ],
)
async def test_tokens_are_words_and_marks_and_two_specials(text: str, tokens: int) -> None:
    assert await FakeEncoder().count_tokens([text]) == [tokens + 2]


async def test_more_words_than_the_table_holds_change_nothing() -> None:
    encoder = FakeEncoder(max_tokens=10_000)
    crowd = [" ".join(f"w{word}" for word in range(at, at + 9000)) for at in range(0, 45_000, 9000)]

    rows = (await encoder.encode([*crowd, crowd[0]])).vectors

    np.testing.assert_array_equal(rows[0], rows[5])
    for text, row in zip(crowd, rows, strict=False):
        alone = await FakeEncoder(max_tokens=10_000).encode([text])
        np.testing.assert_array_equal(row, alone.vectors[0])


async def test_the_limit_counts_specials_and_names_the_input() -> None:
    encoder = FakeEncoder(max_tokens=5)

    assert (await encoder.encode(["one two three"])).tokens == 5
    encoding = await encoder.encode(["one", "one two three four"])
    with pytest.raises(InputTooLong, match=re.escape("input 1 has 6 tokens")) as refused:
        _ = encoding.vectors
    assert refused.value.index == 1


@pytest.mark.parametrize("size", [0, 31, 70_000])
def test_a_size_it_cannot_fill_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match="components"):
        FakeEncoder(size=size)


@pytest.mark.parametrize("size", [384, 1024])
def test_other_sizes_are_full_too(size: int) -> None:
    rows = run([ENGLISH[0]], size=size)

    assert rows.shape == (1, size)
    assert np.count_nonzero(rows) > size / 4
