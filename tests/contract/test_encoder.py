"""One suite for every encoder: what `gateway.ports.Encoder` promises, the fake held to it as well."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import InputTooLong
from gateway.ports import Encoder
from tests.support.encoders import CASES, Case, FolderOf
from tests.support.tiny_corpus import ENGLISH, RUSSIAN

pytestmark = pytest.mark.anyio

SPECIAL = {
    "russian": "Марс называют красной планетой.",
    "japanese": "火星は赤い惑星として知られています。",
    "emoji": "🚀 to Mars 👩‍🚀🇪🇺",
    "code": "def f(x):\n\treturn x ** 2  # сквозной {тест}",
    "newlines": "first line\n\nsecond line\r\nthird",
    "blanks": "   \t  ",
    "prompted": "task: search result | query: which planet is red?",
    "titled": "title: Mars | text: the red planet",
    "html": "<b>bold</b> &amp; <|endoftext|>",
    "combining": "é ≠ é — ﬁ ½",
}

LONG = {
    "english": " ".join(ENGLISH[:30]),
    "russian": " ".join(RUSSIAN[:30]),
    "emoji": "🚀 👩‍🚀 🇪🇺 " * 60,
    "one word": "-x" * 150,
    "mixed": "é ½ ﬁ\tж 火星\n" * 60,
}
"""Each is far over a hundred tokens for every tokenizer here."""


@pytest.fixture(scope="module")
def folder_of(request: pytest.FixtureRequest) -> FolderOf:
    def folder(fixture: str) -> Path:
        return request.getfixturevalue(fixture)

    return folder


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
async def encoder(
    case: Case, folder_of: FolderOf, anyio_backend: str
) -> AsyncGenerator[Encoder, None]:
    async with case.open(folder_of) as opened:
        yield opened


async def test_it_says_what_it_is(encoder: Encoder, case: Case) -> None:
    info = encoder.info

    assert (info.kind, info.size, info.max_tokens) == (case.kind, case.size, case.max_tokens)
    assert info.languages == case.languages
    assert info.dtype in {"float32", "int8"}
    assert info.variant == ("fake" if case.kind == "fake" else "")


async def test_vectors_are_finite_float32_rows_of_the_full_size(
    encoder: Encoder, case: Case
) -> None:
    encoding = await encoder.encode(ENGLISH[:5])

    assert encoding.vectors.shape == (5, case.size)
    assert encoding.vectors.dtype == np.float32
    assert np.isfinite(encoding.vectors).all()
    assert (np.linalg.norm(encoding.vectors, axis=1) > 0.5).all()


async def test_no_texts_give_no_rows(encoder: Encoder, case: Case) -> None:
    encoding = await encoder.encode([])

    assert encoding.vectors.shape == (0, case.size)
    assert encoding.tokens == 0
    assert await encoder.count_tokens([]) == []


async def test_a_batch_of_mixed_lengths_keeps_order_and_equals_single_calls(
    encoder: Encoder, case: Case
) -> None:
    texts = [
        ENGLISH[0],
        "Mars",
        " ".join(ENGLISH[:9]),
        RUSSIAN[0],
        *SPECIAL.values(),
        " ".join(ENGLISH[9:13]),
    ]

    together = (await encoder.encode(texts)).vectors
    alone = np.concatenate([(await encoder.encode([text])).vectors for text in texts])

    np.testing.assert_allclose(together, alone, rtol=0, atol=case.tolerance)
    assert len(np.unique(np.round(together, 4), axis=0)) == len(texts)


async def test_the_same_texts_give_the_same_bits(encoder: Encoder) -> None:
    first = await encoder.encode(ENGLISH[:7])
    second = await encoder.encode(ENGLISH[:7])

    np.testing.assert_array_equal(first.vectors, second.vectors)
    assert first.tokens == second.tokens


@pytest.mark.parametrize("text", SPECIAL.values(), ids=SPECIAL)
async def test_special_texts_are_encoded_and_counted(encoder: Encoder, text: str) -> None:
    encoding = await encoder.encode([text])

    assert np.isfinite(encoding.vectors).all()
    assert [encoding.tokens] == await encoder.count_tokens([text])


async def test_outer_blanks_are_the_tokenizers_business(encoder: Encoder, case: Case) -> None:
    rows = (await encoder.encode(["red planet", " red planet", "red planet\n\n"])).vectors
    different = np.abs(rows[0] - rows[1:]).max(axis=1) > 1e-4

    assert different.tolist() == [case.keeps_spaces] * 2


async def test_counts_add_up_to_what_encoding_reports(encoder: Encoder) -> None:
    texts = [*ENGLISH[:40], *RUSSIAN[:10], *SPECIAL.values()]

    counts = await encoder.count_tokens(texts)

    assert sum(counts) == (await encoder.encode(texts)).tokens
    assert all(count > 2 for count in counts[:50])


async def test_the_blocking_counter_agrees_from_a_thread(encoder: Encoder) -> None:
    texts = [*ENGLISH[:5], *SPECIAL.values()]
    count = encoder.token_counter()

    counted = await asyncio.to_thread(lambda: [count(text) for text in texts])

    assert counted == await encoder.count_tokens(texts)


async def test_a_text_of_exactly_the_limit_is_read_whole(encoder: Encoder) -> None:
    full = await text_of(encoder, encoder.info.max_tokens)
    changed = full.removesuffix("the") + "sun"

    one, other = (await encoder.encode([full, changed])).vectors

    assert (await encoder.encode([full])).tokens == encoder.info.max_tokens
    assert np.abs(one - other).max() > 1e-6, "the last word was cut"


async def test_a_text_over_the_limit_is_refused_by_index_and_the_rest_encoded(
    encoder: Encoder, case: Case
) -> None:
    limit = encoder.info.max_tokens
    full, over = await text_of(encoder, limit), await text_of(encoder, limit + 1)
    clean = await encoder.encode([ENGLISH[0], full, ENGLISH[1]])

    encoding = await encoder.encode([ENGLISH[0], full, over, ENGLISH[1]])

    reason = encoding.refused[2]
    assert list(encoding.refused) == [2]
    assert isinstance(reason, InputTooLong)
    assert (reason.index, reason.field) == (2, "text")
    assert "split" in str(reason)
    np.testing.assert_allclose(encoding.rows[[0, 1, 3]], clean.vectors, rtol=0, atol=case.tolerance)
    assert np.isnan(encoding.rows[2]).all()
    assert encoding.tokens == clean.tokens
    with pytest.raises(InputTooLong, match=r"input 2\b"):
        _ = encoding.vectors
    assert await encoder.count_tokens([over]) == [limit + 1]


async def test_nothing_but_over_long_texts_is_an_answer_too(encoder: Encoder, case: Case) -> None:
    over = await text_of(encoder, encoder.info.max_tokens + 1)

    encoding = await encoder.encode([over, over])

    assert sorted(encoding.refused) == [0, 1]
    assert np.isnan(encoding.rows).all()
    assert encoding.tokens == 0


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize("tokens", [5, 17, 100])
async def test_a_cut_text_is_the_beginning_that_fits(
    encoder: Encoder, text: str, tokens: int
) -> None:
    (whole,) = await encoder.count_tokens([text])
    assert whole > 100

    kept = await encoder.cut(text, tokens)

    (count,) = await encoder.count_tokens([kept])
    assert text.startswith(kept)
    assert count <= tokens
    further = text[: len(kept) + 40]
    assert (await encoder.count_tokens([further]))[0] > tokens


async def test_a_text_that_fits_is_not_cut(encoder: Encoder) -> None:
    text = ENGLISH[0] + " \n"
    (count,) = await encoder.count_tokens([text])

    assert await encoder.cut(text, count) == text
    assert await encoder.cut(text, 10_000) == text
    assert len(await encoder.cut(text, count - 1)) < len(text)
    assert not await encoder.cut(text, 2)


async def test_concurrent_calls_do_not_mix(encoder: Encoder, case: Case) -> None:
    parts = [ENGLISH[start::6] for start in range(6)]

    together = await asyncio.gather(*(encoder.encode(part) for part in parts))

    for part, encoding in zip(parts, together, strict=True):
        alone = await encoder.encode(part)
        np.testing.assert_allclose(encoding.vectors, alone.vectors, rtol=0, atol=case.tolerance)
        assert encoding.tokens == alone.tokens


async def test_a_cancelled_call_leaves_the_encoder_usable(encoder: Encoder) -> None:
    call = asyncio.create_task(encoder.encode(ENGLISH * 4))
    await asyncio.sleep(0.002)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    assert (await encoder.encode(ENGLISH[:1])).vectors.shape[0] == 1


async def test_the_event_loop_turns_while_it_encodes(encoder: Encoder) -> None:
    assert await turns_during(encoder.encode) >= 10


async def test_a_blocked_event_loop_would_be_noticed() -> None:
    async def blocking(texts: Sequence[str]) -> None:
        for text in texts:
            for _ in range(100):
                text.encode()

    assert await turns_during(blocking) < 5


async def test_it_is_healthy(encoder: Encoder) -> None:
    health = await encoder.health()

    assert health.ok
    assert health.name == encoder.info.kind


async def test_closing_twice_is_no_error(case: Case, folder_of: FolderOf) -> None:
    async with case.open(folder_of) as opened:
        await opened.encode(ENGLISH[:1])
        await opened.aclose()
        await opened.aclose()


async def turns_during(encode: Callable[[Sequence[str]], Awaitable[object]]) -> int:
    """Count the turns of the loop during one encode worth half a second of this process's CPU.

    CPU time, because a loaded machine stretches any wall time without giving the loop more turns; a
    hundred turns before that are enough, as the encoder works elsewhere. Texts that all differ,
    because an encoder may know one that it has seen.
    """
    count = 32
    while True:
        texts = [f"{ENGLISH[n % 32]} {count} {n}" for n in range(count)]
        turns: list[None] = []
        ticker = asyncio.create_task(tick(turns))
        started = time.process_time()
        await encode(texts)
        spent = time.process_time() - started
        ticker.cancel()
        if spent >= 0.5 or len(turns) >= 100:
            return len(turns)
        count *= 2


async def tick(turns: list[None]) -> None:
    """Write down every turn of the loop, a millisecond apart at least."""
    while True:
        await asyncio.sleep(0.001)
        turns.append(None)


async def text_of(encoder: Encoder, tokens: int) -> str:
    """Return words that end with "the" and have exactly so many tokens."""
    one, two = await encoder.count_tokens(["the", "the the"])
    assert two == one + 1, "the filler must be one token"
    return " ".join(["the"] * (tokens - one + 1))
