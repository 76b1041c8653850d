"""Golden sets made of a collection of one's own: chunks sampled, a question asked for each.

Every answer is on the disk before the next question: whatever ends the work, nothing is lost, and
the same command goes on where it ended.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from gateway.domain.documents import StoredChunk
from gateway.evaluation.draft import LONGEST_QUESTION, Draft
from gateway.ports import Generator

REQUEST: Final = """Write one question that a reader of the passage below would type into a search box
before reading it. The passage must answer the question. Use other words than the passage where you
can, in the language of the passage. Do not mention "the passage" or "the text". Answer with the
question alone, on one line.

Passage:
{text}"""


async def write_questions(
    generator: Generator, chunks: AsyncIterator[StoredChunk], draft: Draft
) -> AsyncGenerator[tuple[StoredChunk, str], None]:
    """Let a language model ask about each chunk; yields what was asked, once it is written.

    A chunk that it does not ask about is skipped, and yielded with an empty question.

    Raises:
        UpstreamError: the model failed; what was asked before is kept.
    """
    async for stored in chunks:
        question = first_line(await generator.complete(REQUEST.format(text=stored.chunk.text)))
        if question:
            draft.add(stored, question)
        else:
            draft.skip(stored)
        yield stored, question


def first_line(answer: str) -> str:
    """Return the question of an answer: its first line with words, without quotes or a label."""
    for line in answer.splitlines():
        text = line.strip().removeprefix("Question:").strip().strip("\"'«»“”").strip()
        if text:
            return text[:LONGEST_QUESTION]
    return ""
