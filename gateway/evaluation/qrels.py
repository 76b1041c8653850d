"""Judgments: tab-separated lines of query, document and grade, under a header."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from gateway.errors import InvalidGoldenSet
from gateway.evaluation.members import QRELS, Digest, Hashed, Members

Grades: TypeAlias = Mapping[str, Mapping[str, int]]
"""Grades by document id, by query id; whole numbers from 0."""

HIGHEST: Final = 10_000
"""The highest grade. trec_eval keeps and walks a counter for every grade up to the highest of a query
(this one: 80 kB, below a millisecond), and answers 0 without a word where it gets no memory for them:
a grade of 2^31 wants 16 GB. Its nDCG without a cutoff takes the square of the time, 225 s at 2^20.
Sums of such grades are exact in its doubles.
"""

_LONGEST: Final = 1 << 16
_WHOLE: Final = re.compile("[0-9]+")
_BREAKS: Final = re.compile(r"[\t\n\r]")
_NEGATIVE: Final = re.compile("-[0-9]+")
_BOM: Final = "\ufeff"


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    query: str
    document: str
    grade: int


def holds(document_id: str) -> bool:
    """Tell whether a line can hold an id, and a reader gets it back: blanks around it are stripped."""
    return document_id == document_id.strip() != "" and not _BREAKS.search(document_id)


def read_qrels(
    members: Members,
    split: str,
    digest: Digest,
    *,
    queries: Collection[str],
    documents: Collection[str] | None,
) -> dict[str, dict[str, int]]:
    """Read the judgments of a split; `documents` are the ids of the corpus, None where there is none.

    Raises:
        InvalidGoldenSet: names the line: not three fields, a grade that is no whole number from 0
            to `HIGHEST`, an unknown id, a pair judged twice; or no judgment at all.
    """
    name = f"{QRELS}{split}.tsv"
    where = members.shown(name)
    found: dict[str, dict[str, int]] = {}
    unknown: list[_Row] = []
    known = 0
    with members.open(name) as file:
        hashed = Hashed(file)
        for row in _rows(hashed, where):
            if row.query not in queries:
                raise InvalidGoldenSet(
                    f"{where} line {row.line}: query {row.query!r} is not in the set's queries"
                )
            if documents is not None and row.document not in documents:
                unknown.append(row)
                continue
            known += 1
            judged = found.setdefault(row.query, {})
            if row.document in judged:
                raise InvalidGoldenSet(
                    f"{where} line {row.line}: document {row.document!r} is judged twice for query "
                    f"{row.query!r}; keep one line"
                )
            judged[row.document] = row.grade
    digest.add(name, hashed.hexdigest())
    _require_known(where, unknown, known)
    return found


def _require_known(where: str, unknown: list[_Row], known: int) -> None:
    if not unknown and not known:
        raise InvalidGoldenSet(f"{where} has no judgment: there is nothing to measure")
    if not unknown:
        return
    first = unknown[0]
    if not known:
        raise InvalidGoldenSet(
            f"{where} judges another corpus: none of its {len(unknown)} documents is in this one "
            f"(line {first.line}: {first.document!r}); give the corpus that was judged"
        )
    raise InvalidGoldenSet(
        f"{where} line {first.line}: document {first.document!r} is not in the corpus"
        + (f", nor are those of {len(unknown) - 1} other lines" if len(unknown) > 1 else "")
        + "; mend the ids, or remove the lines"
    )


def _rows(file: Hashed, where: str) -> Iterator[_Row]:
    number = 0
    while data := file.readline(_LONGEST):
        number += 1
        line = _decoded(data, f"{where} line {number}")
        if number == 1:
            line = line.removeprefix(_BOM)
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 3:
            raise InvalidGoldenSet(
                f"{where} line {number} has {len(fields)} fields separated by tabs, not 3: query, "
                "document, grade"
            )
        if number == 1 and _is_title(fields[2]):
            continue
        yield _Row(number, fields[0].strip(), fields[1].strip(), _grade(fields[2], where, number))


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise InvalidGoldenSet(f"{where} is not UTF-8 at byte {exc.start}") from exc


def _is_title(text: str) -> bool:
    """Tell whether a third field names its column: a word, not what may have been meant as a number."""
    first = next((char for char in text if char.isalnum()), "")
    if not first.isalpha():
        return False
    try:
        float(text)  # "nan" and "inf" begin with letters too
    except ValueError:
        return True
    return False


def _grade(text: str, where: str, line: int) -> int:
    text = text.strip()
    if _NEGATIVE.fullmatch(text):
        raise InvalidGoldenSet(
            f"{where} line {line}: grade {text} is negative; write 0 for documents that are judged "
            "not relevant, and leave out those that nobody judged"
        )
    if not _WHOLE.fullmatch(text):
        raise InvalidGoldenSet(
            f"{where} line {line}: grade {text!r} is not a whole number; write digits alone"
        )
    digits = text.lstrip("0") or "0"
    if len(digits) > len(str(HIGHEST)) or int(digits) > HIGHEST:
        raise InvalidGoldenSet(
            f"{where} line {line}: grade {digits[:20]} is above {HIGHEST}, the highest that can be "
            "measured; scale the grades down"
        )
    return int(digits)
