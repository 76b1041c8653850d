"""Rankings as TREC run files, which `trec_eval` and every tool after it read."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final

from gateway.evaluation.measures import falling
from gateway.evaluation.results import Run

_SPACE: Final = re.compile(r"\s")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_LONGEST: Final = 100
"""Characters of a run's name in that of its file; most file systems end a name at 255 bytes."""


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


def file_names(runs: Iterable[str]) -> dict[str, str]:
    """Return the names of the files of a report's runs by the runs' names: `hybrid-256-int8.trec`.

    What would be too long is cut. A cut name, and names that file systems may take for one, get a
    hash of the run's name.
    """
    stems = {run: _UNSAFE.sub("-", run) for run in runs}
    times = Counter(stem.casefold() for stem in stems.values())
    return {
        run: (
            f"{stem}.trec"
            if times[stem.casefold()] == 1 and len(stem) <= _LONGEST
            else f"{stem[:_LONGEST]}-{sha256(run.encode()).hexdigest()[:8]}.trec"
        )
        for run, stem in stems.items()
    }


def _joined(text: str) -> str:
    return _SPACE.sub("_", text)
