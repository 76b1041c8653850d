"""Golden sets in the BEIR layout (Thakur et al., 2021): read, checked, and told what is in them.

`corpus.jsonl` (`_id`, `title`, `text`), `queries.jsonl` (`_id`, `text`) and `qrels/SPLIT.tsv` (query,
document, grade under a header); `spans.jsonl` may say where in a document the answer stands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.errors import InvalidGoldenSet
from gateway.evaluation.members import CORPUS, QUERIES, Digest, Hashed, Members
from gateway.evaluation.qrels import Grades, read_qrels
from gateway.evaluation.questions import gist
from gateway.evaluation.spans import GoldSpan, read_spans
from gateway.ingest.items import ReadFailure, ReadItem
from gateway.ingest.lines import MAX_LINE_BYTES
from gateway.ingest.streams import read_jsonl

DEFAULT_SPLIT: Final = "test"

NO_SPANS: Mapping[str, tuple[GoldSpan, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """Queries with the grades of documents for them.

    `queries` has the texts of those that are measured: each has a relevant document. `qrels` maps
    them to grades by document id (0: judged not relevant; above 0: relevant). `spans` are where the
    answers stand. `unjudged` queries have no judgment, `hopeless` ones none above 0: both are left
    out of every mean. `documents` counts the corpus (None: there is none), `empty` those without
    text. `sha256` is of the files' contents, however they are packed.
    """

    name: str
    split: str
    queries: Mapping[str, str]
    qrels: Grades
    sha256: str
    spans: Mapping[str, tuple[GoldSpan, ...]] = field(default_factory=lambda: NO_SPANS)
    unjudged: tuple[str, ...] = ()
    hopeless: tuple[str, ...] = ()
    documents: int | None = None
    empty: int = 0
    members: Members | None = field(default=None, compare=False, repr=False)

    @classmethod
    def load(cls, where: Path, *, split: str | None = None) -> "GoldenSet":
        """Read and check a set. The corpus is streamed, and read again by `corpus`.

        Raises:
            InvalidGoldenSet: names the file, the line and the remedy.
        """
        members = Members(where)
        split = _split(members, split)
        digest = Digest()
        lengths = _lengths(members, digest)
        texts = _queries(members, digest)
        qrels = read_qrels(members, split, digest, queries=texts, documents=lengths)
        spans = read_spans(members, digest, queries=texts, lengths=lengths)
        relevant = {query: row for query, row in qrels.items() if any(g > 0 for g in row.values())}
        if not relevant:
            raise InvalidGoldenSet(
                f"golden set {str(where)!r} measures nothing: no query of split {split!r} has a "
                "relevant document; judge some, or give another split"
            )
        measured = {query: text for query, text in texts.items() if query in relevant}
        return cls(
            name=where.name.removesuffix(".zip"),
            split=split,
            queries=measured,
            qrels={query: qrels[query] for query in measured},
            sha256=digest.hex(),
            spans={query: spans[query] for query in measured if query in spans},
            unjudged=tuple(query for query in texts if query not in qrels),
            hopeless=tuple(query for query in texts if query in qrels and query not in relevant),
            documents=None if lengths is None else len(lengths),
            empty=sum(not length for length in (lengths or {}).values()),
            members=members,
        )

    @property
    def judgments(self) -> int:
        return sum(map(len, self.qrels.values()))

    @property
    def graded(self) -> bool:
        """Tell whether some documents are more relevant than others."""
        return any(grade > 1 for row in self.qrels.values() for grade in row.values())

    @property
    def repeated(self) -> tuple[str, ...]:
        """Measured queries that ask what one before them asks, by id."""
        seen: set[str] = set()
        again: list[str] = []
        for query, text in self.queries.items():
            asked = gist(text)
            if asked in seen:
                again.append(query)
            seen.add(asked)
        return tuple(again)

    def first(self, count: int | None) -> "GoldenSet":
        """Return the set with its first `count` measured queries, all of them by default.

        Raises:
            InvalidGoldenSet: none would be left.
        """
        if count is None or count >= len(self.queries):
            return self
        if count < 1:
            raise InvalidGoldenSet(f"{count} queries measure nothing; take 1 or more")
        kept = dict(list(self.queries.items())[:count])
        return replace(
            self,
            queries=kept,
            qrels={query: self.qrels[query] for query in kept},
            spans={query: self.spans[query] for query in kept if query in self.spans},
        )

    def corpus(self) -> Iterator[ReadItem]:
        """Stream the documents, in order.

        Raises:
            InvalidGoldenSet: the set has no corpus.
        """
        if self.members is None or not self.members.has(CORPUS):
            raise InvalidGoldenSet(
                f"golden set {self.name!r} has no {CORPUS}: add its documents, or give the collection "
                "that holds them (--collection)"
            )
        with self.members.open(CORPUS) as file:
            yield from read_jsonl(file, self.members.shown(CORPUS), MAX_LINE_BYTES)


def _split(members: Members, asked: str | None) -> str:
    found = members.splits()
    if not found:
        raise InvalidGoldenSet(
            f"golden set {str(members.where)!r} has no judgments: qrels/{asked or DEFAULT_SPLIT}.tsv "
            "is missing"
        )
    if asked is None and len(found) == 1:
        return found[0]
    wanted = asked or DEFAULT_SPLIT
    if wanted not in found:
        raise InvalidGoldenSet(
            f"golden set {str(members.where)!r} has no split {wanted!r}; give --split: "
            f"{', '.join(found)}"
        )
    return wanted


def _lengths(members: Members, digest: Digest) -> dict[str, int] | None:
    """Characters of every document's text by its id; None without a corpus."""
    if not members.has(CORPUS):
        return None
    lengths: dict[str, int] = {}
    for key, text, line in _records(members, CORPUS, digest):
        if key in lengths:
            raise InvalidGoldenSet(_twice(members.shown(CORPUS), line, "document", key))
        lengths[key] = len(text) if text.strip() else 0
    if not any(lengths.values()):
        raise InvalidGoldenSet(f"{members.shown(CORPUS)} has no document with text")
    return lengths


def _queries(members: Members, digest: Digest) -> dict[str, str]:
    texts = read_queries(members, digest)
    if not texts:
        raise InvalidGoldenSet(f"{members.shown(QUERIES)} is empty: there is nothing to measure")
    return texts


def read_queries(members: Members, digest: Digest) -> dict[str, str]:
    """Read the texts of the queries by id.

    Raises:
        InvalidGoldenSet: names the line: no query, a blank one, or an id that was there before.
    """
    texts: dict[str, str] = {}
    for key, text, line in _records(members, QUERIES, digest):
        where = members.shown(QUERIES)
        if key in texts:
            raise InvalidGoldenSet(_twice(where, line, "query", key))
        if not text.strip():
            raise InvalidGoldenSet(f"{where} line {line}: query {key!r} is blank; remove it")
        texts[key] = text
    return texts


def _records(members: Members, name: str, digest: Digest) -> Iterator[tuple[str, str, int]]:
    """Yield id, text and line of every record, and put the file into the digest at its end."""
    where = members.shown(name)
    with members.open(name) as file:
        hashed = Hashed(file)
        for item in read_jsonl(hashed, where, MAX_LINE_BYTES):
            if isinstance(item, ReadFailure):
                raise InvalidGoldenSet(f"{where} line {item.line}: {item.reason}")
            yield item.id, item.text, item.line or 0
    digest.add(name, hashed.hexdigest())


def _twice(where: str, line: int, what: str, key: str) -> str:
    return f"{where} line {line}: {what} {key!r} was there before; ids must differ"
