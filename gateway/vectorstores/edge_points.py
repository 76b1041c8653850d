"""Points as the embedded engine stores them; runs in the worker process only.

Short vectors and the weights of words follow from what the gateway sends, so they are made here, on
another core than the one that embeds.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import qdrant_edge as qe

from gateway.domain.lexical import Lexical
from gateway.domain.vectors import Matrix, shorten
from gateway.vectorstores.bm25 import SPARSE_NAME, document_vector, lexical_text
from gateway.vectorstores.payload import COARSE_NAME, VECTOR_NAME


def points_of(
    spec: Mapping[str, Any], keys: Sequence[UUID], rows: Matrix, payloads: Sequence[Any]
) -> list[qe.Point]:
    """Return points with every vector that a collection has; one without words has no sparse one."""
    vectors: list[dict[str, Any]] = [{VECTOR_NAME: row} for row in rows.tolist()]
    if spec.get("coarse"):
        for named, short in zip(vectors, shorten(rows, spec["coarse"]).tolist(), strict=True):
            named[COARSE_NAME] = short
    if spec.get("lexical"):
        lexical = Lexical.from_json(spec["lexical"])
        for named, payload in zip(vectors, payloads, strict=True):
            words, weights = document_vector(lexical, lexical_text(payload))
            if words:
                named[SPARSE_NAME] = qe.SparseVector(words, weights)
    return [
        qe.Point(key, named, payload)
        for key, named, payload in zip(keys, vectors, payloads, strict=True)
    ]
