"""Golden sets made of a collection of one's own: chunks sampled, a question asked for each.

Every answer is on the disk before the next question: whatever ends the work, nothing is lost, and
the same command goes on where it ended. A query's id is derived from its chunk.
"""

import json
import os
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.domain.documents import StoredChunk
from gateway.errors import ConfigurationError, InvalidRequest
from gateway.evaluation.members import QUERIES, SPANS
from gateway.evaluation.qrels import holds
from gateway.ports import Generator, VectorStore

SHORTEST: Final = 80
"""Characters below which a chunk says too little to be asked about."""
LONGEST_QUESTION: Final = 300
QRELS: Final = "qrels/test.tsv"
SKIPPED: Final = "skipped.txt"

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


class Draft:
    """A golden set in the making: its files grow by a record at a time."""

    def __init__(self, folder: Path) -> None:
        """Open a folder, which is made; what is there already is kept.

        Raises:
            ConfigurationError: it cannot be written, or holds something else.
        """
        self._folder = folder
        try:
            (folder / "qrels").mkdir(parents=True, exist_ok=True)
            if not (folder / QRELS).exists():
                self._append(QRELS, "query-id\tcorpus-id\tscore\n")
            self._asked = {str(row["_id"]) for row in self._rows(QUERIES)}
            self._skipped = set(self._lines(SKIPPED))
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise ConfigurationError(
                f"{str(folder)!r} is no golden set in the making: {exc}; give another folder"
            ) from exc

    def __len__(self) -> int:
        return len(self._asked)

    def open(self, chunks: Sequence[StoredChunk]) -> list[StoredChunk]:
        """Return the chunks that were neither asked about nor skipped."""
        return [each for each in chunks if query_id(each) not in self._asked | self._skipped]

    def add(self, stored: StoredChunk, question: str, grades: dict[str, int] | None = None) -> None:
        """Write a question with its chunk as the answer, and grades of other documents.

        Raises:
            InvalidRequest: a blank or overlong question, or an id that judgments cannot hold.
        """
        text = " ".join(question.split())
        if not 1 <= len(text) <= LONGEST_QUESTION:
            raise InvalidRequest(f"a question has 1-{LONGEST_QUESTION} characters, got {len(text)}")
        key, chunk = query_id(stored), stored.chunk
        for document_id in (chunk.document_id, *(grades or {})):
            if not holds(document_id):
                raise InvalidRequest(f"judgments cannot hold the document id {document_id!r}")
        # a query without judgment is left out of every mean: whatever ends us here does no harm
        self._append(QUERIES, _json({"_id": key, "text": text}))
        judged = {**(grades or {}), chunk.document_id: 1}
        self._append(QRELS, "".join(f"{key}\t{doc}\t{grade}\n" for doc, grade in judged.items()))
        span = {"query-id": key, "corpus-id": chunk.document_id}
        self._append(SPANS, _json({**span, "char_spans": [[chunk.start, chunk.end]]}))
        self._asked.add(key)

    def skip(self, stored: StoredChunk) -> None:
        """Remember that nobody wants to ask about a chunk."""
        self._append(SKIPPED, query_id(stored) + "\n")
        self._skipped.add(query_id(stored))

    def _append(self, name: str, text: str) -> None:
        with (self._folder / name).open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def _lines(self, name: str) -> list[str]:
        path = self._folder / name
        return path.read_text("utf-8").splitlines() if path.exists() else []

    def _rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._lines(name)]


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


def query_id(stored: StoredChunk) -> str:
    return f"q-{stored.id.hex[:16]}"


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
