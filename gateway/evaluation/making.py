"""Golden sets made of a collection of one's own: chunks sampled, a question asked for each.

Every answer is on the disk before the next question: whatever ends the work, nothing is lost, and
the same command goes on where it ended.
"""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from gateway.domain.documents import StoredChunk
from gateway.errors import InvalidRequest
from gateway.evaluation.draft import LONGEST_QUESTION, Draft
from gateway.evaluation.qrels import holds
from gateway.ports import Generator, VectorStore

SHORTEST: Final = 80
"""Characters below which a chunk says too little to be asked about."""

REQUEST: Final = """Write one question that a reader of the passage below would type into a search box
before reading it. The passage must answer the question. Use other words than the passage where you
can, in the language of the passage. Do not mention "the passage" or "the text". Answer with the
question alone, on one line.

Passage:
{text}"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Chunks to ask about. `left_out` counts those whose document's id judgments cannot hold.

    `example` is such an id, empty where there is none.
    """

    chunks: list[StoredChunk]
    left_out: int = 0
    example: str = ""

    @property
    def warning(self) -> str:
        """Say how many chunks are left out, and why; empty where none is."""
        if not self.left_out:
            return ""
        return (
            f"chunks left out: {self.left_out}, of documents such as {self.example!r}: judgments cannot "
            "hold ids with tabs, line breaks or blanks around them; ingest them under other ids"
        )


async def sample_chunks(store: VectorStore, name: str, count: int, *, seed: int = 0) -> Sample:
    """Draw chunks that are long enough to be asked about, by reservoir: one pass, little memory.

    Raises:
        InvalidRequest: the collection has none.
    """
    rng = random.Random(seed)  # noqa: S311  a sample, no secret
    kept: list[StoredChunk] = []
    seen = left_out = 0
    example = ""
    scroll: Any = store.scroll(name)
    async with aclosing(scroll) as chunks:
        async for stored in chunks:
            if len(stored.chunk.text.strip()) < SHORTEST:
                continue
            if not holds(stored.chunk.document_id):
                left_out, example = left_out + 1, example or stored.chunk.document_id
                continue
            seen += 1
            if len(kept) < count:
                kept.append(stored)
            elif (place := rng.randrange(seen)) < count:
                kept[place] = stored
    sample = Sample(kept, left_out, example)
    if not kept:
        raise InvalidRequest(
            f"collection {name!r} has no chunk of {SHORTEST} characters or more to ask about; "
            + (sample.warning or "ingest documents first")
        )
    rng.shuffle(kept)
    return sample


async def write_questions(
    generator: Generator, chunks: Sequence[StoredChunk], draft: Draft
) -> AsyncIterator[tuple[StoredChunk, str]]:
    """Let a language model ask about each chunk; yields what was asked, once it is written.

    Raises:
        UpstreamError: the model failed; what was asked before is kept.
    """
    for stored in draft.open(chunks):
        answer = await generator.complete(REQUEST.format(text=stored.chunk.text))
        question = first_line(answer)
        if question:
            draft.add(stored, question)
            yield stored, question
        else:
            draft.skip(stored)


def first_line(answer: str) -> str:
    """Return the question of an answer: its first line with words, without quotes or a label."""
    for line in answer.splitlines():
        text = line.strip().removeprefix("Question:").strip().strip("\"'«»“”").strip()
        if text:
            return text[:LONGEST_QUESTION]
    return ""
