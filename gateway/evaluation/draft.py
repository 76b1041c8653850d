"""A golden set in the making: its files grow by a record at a time, each on the disk before the next."""

import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gateway.domain.documents import StoredChunk
from gateway.errors import ConfigurationError, InvalidGoldenSet, InvalidRequest
from gateway.evaluation.drafted import HEADER, QRELS, read_drafted
from gateway.evaluation.folders import replace_file, try_to_write
from gateway.evaluation.members import CORPUS, GZIPPED, QUERIES, SPANS
from gateway.evaluation.qrels import holds
from gateway.evaluation.questions import gist, require_question

SKIPPED: Final = "skipped.txt"
MANIFEST: Final = "golden.json"
"""Says what the questions are of: `{"collection": "docs", "seed": 0}`. No part of the set itself."""
_NO_RECORD: Final = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
"""What JSON raises that is not the record that was looked for."""
_OURS: Final = frozenset((QUERIES, SPANS, SKIPPED, "qrels"))


class Draft:
    """A folder that questions are written to. A query's id is derived from its chunk."""

    def __init__(self, folder: Path, collection: str, seed: int | None = None) -> None:
        """Read what is there already, if anything; nothing is written before a record.

        `seed` is that of the chunks to come; None: the same as before, or 0.

        Raises:
            ConfigurationError: it holds something else, or questions about another collection.
        """
        self._folder: Final = folder
        try:
            self._manifest = self._read_manifest()
            self._require_ours()
            found = read_drafted(folder)
            self._asked, self._unjudged = set(found.asked), set(found.unjudged)
            self._gists = {gist(text) for text in found.asked.values()}
            self._skipped = set(self._lines(SKIPPED))
        except (OSError, ValueError, InvalidGoldenSet) as exc:
            raise ConfigurationError(
                f"{str(folder)!r} is no golden set in the making: {exc}; mend or remove that, or give "
                "another folder (--out)"
            ) from exc
        before = self._manifest.get("collection", collection)
        if before != collection:
            raise ConfigurationError(
                f"{str(folder)!r} asks about collection {before!r}, not {collection!r}; give another "
                "folder (--out)"
            )
        self._made = False
        self.collection: Final = collection
        self.seed: Final[int] = self._manifest.get("seed", 0) if seed is None else seed

    def __len__(self) -> int:
        return len(self._asked)

    def require_writable(self) -> None:
        """See that the folder can be written, before anybody thinks of a question.

        Raises:
            ConfigurationError: it cannot.
        """
        with self._writing():
            try_to_write(self._folder / "qrels")

    def make(self) -> None:
        """Make the folder and the files that a set needs; what is there already is kept.

        The first record does so as well.

        Raises:
            ConfigurationError: it cannot be written.
        """
        with self._writing():
            (self._folder / "qrels").mkdir(parents=True, exist_ok=True)
            for name in (QUERIES, QRELS, SPANS, SKIPPED):
                self._end_line(name)
            self._write_manifest()
        if not (self._folder / QRELS).exists():
            self._append(QRELS, HEADER)
        self._made = True

    def knows(self, stored: StoredChunk) -> bool:
        """Tell whether a chunk was asked about or skipped."""
        key = query_id(stored)
        return key in self._asked or key in self._skipped

    def asks(self, question: str) -> bool:
        """Tell whether a question is there already: only one chunk would count as its answer."""
        return gist(question) in self._gists

    def require_new(self, question: str) -> str:
        """Return a question with single spaces between its words.

        Raises:
            InvalidRequest: it is no question, or is there already.
        """
        text = require_question(question)
        if self.asks(text):
            raise InvalidRequest(
                f"the question {text!r} is asked already, of another chunk; ask what this one alone "
                "answers"
            )
        return text

    def add(self, stored: StoredChunk, question: str) -> None:
        """Write a question with its chunk as the answer.

        Raises:
            InvalidRequest: as `require_new`, or judgments cannot hold the document's id.
            ConfigurationError: the folder cannot be written.
        """
        text = self.require_new(question)
        key, chunk = query_id(stored), stored.chunk
        judgment = _judgment(key, chunk.document_id, 1)
        # a query without judgment is left out of every mean: whatever ends us here does no harm
        self._ask(key, _json({"_id": key, "text": text}))
        self._record(QRELS, judgment)
        span = {"query-id": key, "corpus-id": chunk.document_id}
        self._record(SPANS, _json({**span, "char_spans": [[chunk.start, chunk.end]]}))
        self._asked.add(key)
        self._gists.add(gist(text))

    def grade(self, stored: StoredChunk, document_id: str, grade: int) -> None:
        """Write the grade of another document for the question about a chunk.

        Raises:
            InvalidRequest: judgments cannot hold the document's id.
            ConfigurationError: the folder cannot be written.
        """
        self._record(QRELS, _judgment(query_id(stored), document_id, grade))

    def skip(self, stored: StoredChunk) -> None:
        """Remember that nobody wants to ask about a chunk."""
        self._record(SKIPPED, query_id(stored) + "\n")
        self._skipped.add(query_id(stored))

    def _require_ours(self) -> None:
        if self._manifest or not self._folder.exists():
            return
        names = {path.name for path in self._folder.iterdir() if not path.name.startswith(".")}
        other = sorted(names - _OURS)
        if (self._folder / QRELS).exists():
            # a draft with files of its user, unless it is a whole set
            other = [name for name in other if name.startswith(CORPUS) or name.endswith(GZIPPED)]
        if other:
            raise ValueError(f"it holds {other[0]!r}")

    def _read_manifest(self) -> dict[str, Any]:
        path = self._folder / MANIFEST
        if not path.exists():
            return {}
        try:
            read = json.loads(path.read_text("utf-8-sig"))
            return {"collection": str(read["collection"]), "seed": int(read["seed"])}
        except _NO_RECORD as exc:
            raise ValueError(f"{MANIFEST} names no collection and seed") from exc

    def _write_manifest(self) -> None:
        now = {"collection": self.collection, "seed": self.seed}
        if now != self._manifest:
            replace_file(self._folder / MANIFEST, [_json(now)])
            self._manifest = now

    def _end_line(self, name: str) -> None:
        """End the last line of a file that an editor left open, else the next record joins it."""
        path = self._folder / name
        if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
            self._append(name, "\n")

    def _ask(self, key: str, line: str) -> None:
        """Write a question, in the place of one about its chunk that never got its judgment."""
        if key not in self._unjudged:
            self._record(QUERIES, line)
            return
        if not self._made:
            self.make()
        others = [f"{each}\n" for each in self._lines(QUERIES) if not _is_of(key, each)]
        with self._writing():
            replace_file(self._folder / QUERIES, [*others, line])
        self._unjudged.discard(key)

    def _record(self, name: str, text: str) -> None:
        if not self._made:
            self.make()
        self._append(name, text)

    def _append(self, name: str, text: str) -> None:
        with self._writing(), (self._folder / name).open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _writing(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as exc:
            raise ConfigurationError(
                f"the golden set {str(self._folder)!r} cannot be written: {exc}; mend that, or give "
                "another folder (--out)"
            ) from exc

    def _lines(self, name: str) -> list[str]:
        path = self._folder / name
        text = path.read_text("utf-8-sig") if path.exists() else ""
        return [line for line in text.split("\n") if line.strip()]


def query_id(stored: StoredChunk) -> str:
    return f"q-{stored.id.hex[:16]}"


def _judgment(query: str, document_id: str, grade: int) -> str:
    if not holds(document_id):
        raise InvalidRequest(f"judgments cannot hold the document id {document_id!r}")
    return f"{query}\t{document_id}\t{grade}\n"


def _is_of(key: str, line: str) -> bool:
    record = json.loads(line)
    return record.get("_id", record.get("id")) == key


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"
