"""The corpus covers what it promises, at exact lengths, and has a fingerprint."""

from collections import Counter
from dataclasses import replace

import pytest

from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_300M
from gateway.encoders.fake import FakeEncoder
from gateway.parity.corpus import EQUAL_TEXTS, EQUAL_TOKENS, corpus_fingerprint, draft_corpus
from tests.support.parity import made_up_recording

pytestmark = pytest.mark.anyio


async def test_every_task_and_titled_and_untitled_documents_are_in_it() -> None:
    drafts = await draft_corpus(EMBEDDING_GEMMA_300M, FakeEncoder())

    assert {draft.task for draft in drafts} == set(EMBEDDING_GEMMA_300M.tasks)
    assert {draft.title for draft in drafts if draft.task == "document"} > {None, "Mars", "none"}
    assert len(drafts) == len(set(drafts))
    assert 60 <= len(drafts) <= 90


async def test_lengths_are_exact_up_to_the_longest_that_the_model_reads() -> None:
    encoder = FakeEncoder()
    drafts = await draft_corpus(EMBEDDING_GEMMA_300M, encoder)

    counts = Counter(
        await encoder.count_tokens(
            [EMBEDDING_GEMMA_300M.render(one.task, one.text, one.title) for one in drafts]
        )
    )

    assert max(counts) == 2048
    assert counts[EQUAL_TOKENS] == EQUAL_TEXTS
    assert {128, 256, 512, 1024} <= set(counts)


async def test_a_model_of_short_texts_gets_none_over_its_limit() -> None:
    encoder = FakeEncoder(size=384, max_tokens=256)
    drafts = await draft_corpus(ALL_MINILM_L6_V2, encoder)

    texts = [ALL_MINILM_L6_V2.render(one.task, one.text, one.title) for one in drafts]
    assert max(await encoder.count_tokens(texts)) == 256


async def test_a_brief_corpus_has_every_task_and_short_texts_alone() -> None:
    encoder = FakeEncoder()
    brief = await draft_corpus(EMBEDDING_GEMMA_300M, encoder, brief=True)

    assert {draft.task for draft in brief} == set(EMBEDDING_GEMMA_300M.tasks)
    assert max(await encoder.count_tokens([draft.text for draft in brief])) < 64


def test_the_fingerprint_changes_with_any_text() -> None:
    items = made_up_recording(EMBEDDING_GEMMA_300M).items
    other = [replace(items[0], text=items[0].text + "."), *items[1:]]

    assert corpus_fingerprint(items) == corpus_fingerprint(list(items))
    assert corpus_fingerprint(items) != corpus_fingerprint(other)
