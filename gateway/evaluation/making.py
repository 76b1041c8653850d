"""Golden sets made of a collection of one's own: chunks sampled, a question asked for each.

Every answer is on the disk before the next question: whatever ends the work, nothing is lost, and
the same command goes on where it ended.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from gateway.domain.documents import StoredChunk
from gateway.errors import UpstreamError
from gateway.evaluation.draft import Draft
from gateway.evaluation.questions import find_question
from gateway.ports import Generator

REQUEST: Final = """Write one question that a reader of the passage below would type into a search box
before reading it. The passage must answer the question. Use other words than the passage where you
can, in the language of the passage. Do not mention "the passage" or "the text". Answer with the
question alone, on one line.

Passage:
{text}"""


PATIENCE: Final = 8
"""Answers without a new question, one after the other, that a language model may give."""


async def write_questions(
    generator: Generator, chunks: AsyncIterator[StoredChunk], draft: Draft
) -> AsyncGenerator[tuple[StoredChunk, str], None]:
    """Let a language model ask about each chunk; yields what was asked, once it is written.

    A chunk that it does not ask about, or asks what the draft has already, is yielded with an empty
    question. It is skipped for good when the model asks about a later one, so that a model that never
    asks spoils no chunk.

    Raises:
        UpstreamError: the model failed, or asks nothing new; what was asked before is kept.
    """
    passed: list[StoredChunk] = []
    answer = ""
    async for stored in chunks:
        answer = await generator.complete(REQUEST.format(text=stored.chunk.text))
        question = find_question(answer)
        question = "" if draft.asks(question) else question
        if question:
            for each in passed:
                draft.skip(each)
            passed.clear()
            draft.add(stored, question)
        else:
            passed.append(stored)
        yield stored, question
        if len(passed) == PATIENCE:
            raise _mute(generator, len(passed), answer)
    if passed and not len(draft):
        raise _mute(generator, len(passed), answer)


def _mute(generator: Generator, answers: int, last: str) -> UpstreamError:
    return UpstreamError(
        f"the language model {generator.model_id!r} asked nothing new in {answers} answers, one after the "
        f"other; the last began {last[:80]!r}: set another llm.model, or let it answer at greater "
        "length",
        service="llm",
    )
