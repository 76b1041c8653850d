"""Rankings as TREC run files, which `trec_eval` and every tool after it read."""

import re
from collections.abc import Iterator
from typing import Final

from gateway.evaluation.measures import falling
from gateway.evaluation.results import Run

_SPACE: Final = re.compile(r"\s")


def run_lines(run: Run) -> Iterator[str]:
    """Yield `query Q0 document rank score tag`, best first.

    Scores fall strictly (`measures.falling`), since trec_eval sorts by them and not by rank. White
    space inside ids becomes `_`, as the format has no way to write it.
    """
    tag = _joined(run.name)
    for query in run.queries:
        scores = falling([hit.score for hit in query.ranking])
        for rank, (hit, score) in enumerate(zip(query.ranking, scores, strict=True), start=1):
            ids = f"{_joined(query.query_id)} Q0 {_joined(hit.document_id)}"
            yield f"{ids} {rank} {score:.9g} {tag}\n"


def file_name(run: str) -> str:
    """Return the name for the file of a run by its name: `hybrid-256-int8.trec`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", run) + ".trec"


def _joined(text: str) -> str:
    return _SPACE.sub("_", text)
