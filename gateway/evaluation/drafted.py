"""What a golden set in the making holds so far, read as those read it who measure with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.errors import InvalidGoldenSet
from gateway.evaluation.golden import DEFAULT_SPLIT, read_queries
from gateway.evaluation.members import QRELS as FOLDER
from gateway.evaluation.members import QUERIES, Digest, Members
from gateway.evaluation.qrels import read_qrels
from gateway.evaluation.spans import read_spans

QRELS: Final = f"{FOLDER}{DEFAULT_SPLIT}.tsv"
HEADER: Final = "query-id\tcorpus-id\tscore\n"


@dataclass(frozen=True, slots=True)
class Drafted:
    """Texts of the questions by id: those that are judged, and those that nobody came to judge."""

    asked: dict[str, str]
    unjudged: dict[str, str]


def read_drafted(folder: Path) -> Drafted:
    """Read and check the files of a draft; there may be none yet.

    Raises:
        InvalidGoldenSet: names the file and the line that is torn, or the judgments are gone.
        OSError, ValueError: a file cannot be read.
    """
    if not folder.exists():
        return Drafted({}, {})
    members = Members(folder)
    texts = read_queries(members, Digest()) if members.has(QUERIES) else {}
    judged = set(
        read_qrels(members, DEFAULT_SPLIT, Digest(), queries=texts, documents=None)
        if _begun(folder / QRELS)
        else ()
    )
    # whatever ends us between a question and its judgment leaves one, and the header is there before
    if texts and not judged and (len(texts) > 1 or not members.has(QRELS)):
        raise InvalidGoldenSet(f"it has questions, and {QRELS} with their judgments is missing")
    read_spans(members, Digest(), queries=texts, lengths=None)
    return Drafted(
        {key: text for key, text in texts.items() if key in judged},
        {key: text for key, text in texts.items() if key not in judged},
    )


def _begun(path: Path) -> bool:
    """Tell whether a file of judgments has more than its header."""
    text = path.read_text("utf-8-sig") if path.exists() else ""
    return text.strip() not in ("", HEADER.strip())
