"""Our collections in the words of qdrant-client: pure translations, no call."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import numpy as np
from qdrant_client import models

from gateway.domain.collections import CollectionSpec, Quantization, StoredForm, Tuning
from gateway.domain.documents import StoredChunk
from gateway.domain.search import Hit
from gateway.domain.vectors import shorten
from gateway.vectorstores import tuning
from gateway.vectorstores.bm25 import SPARSE_NAME, document_vector, lexical_text
from gateway.vectorstores.conditions import Condition, json_path
from gateway.vectorstores.payload import COARSE_NAME, INDEXED, VECTOR_NAME, to_hit, to_stored
from gateway.vectorstores.points import Points

FLOOR: Final = (1, 16)
"""First server that keeps metadata with a collection."""


def vectors_config(spec: CollectionSpec) -> dict[str, models.VectorParams]:
    """Vectors by name; full ones that a first pass over short ones precedes have no graph."""
    kind, coarse = spec.tuning.quantization, spec.coarse
    vectors = {VECTOR_NAME: _vectors(spec.size, kind, links=0 if coarse else tuning.HNSW_M)}
    if coarse is not None:
        vectors[COARSE_NAME] = _vectors(coarse, kind, links=tuning.HNSW_M)
    return vectors


def sparse_config(spec: CollectionSpec) -> dict[str, models.SparseVectorParams] | None:
    if spec.lexical is None:
        return None
    return {SPARSE_NAME: models.SparseVectorParams(modifier=models.Modifier.IDF)}


def retuned(spec: CollectionSpec) -> dict[str, models.VectorParamsDiff]:
    """What another tuning changes of the vectors that are searched first."""
    name = VECTOR_NAME if spec.coarse is None else COARSE_NAME
    kind = QUANTIZATION[spec.tuning.quantization] or models.Disabled.DISABLED
    return {name: models.VectorParamsDiff(quantization_config=kind)}


def _vectors(size: int, kind: Quantization, *, links: int) -> models.VectorParams:
    return models.VectorParams(
        size=size,
        distance=models.Distance.DOT,
        hnsw_config=models.HnswConfigDiff(
            m=links,
            ef_construct=tuning.HNSW_EF_CONSTRUCT,
            full_scan_threshold=tuning.full_scan_kb(size),
        ),
        quantization_config=QUANTIZATION[kind] if links else None,
    )


QUANTIZATION: Final[Mapping[Quantization, models.QuantizationConfig | None]] = {
    Quantization.NONE: None,
    Quantization.INT8: models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(
            type=models.ScalarType.INT8, quantile=tuning.QUANTILE, always_ram=True
        )
    ),
    Quantization.TURBO4: models.TurboQuantization(
        turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4)
    ),
    Quantization.TURBO2: models.TurboQuantization(
        turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS2)
    ),
    Quantization.BINARY: models.BinaryQuantization(
        binary=models.BinaryQuantizationConfig(always_ram=True)
    ),
}


def odd_form(spec: CollectionSpec, info: models.CollectionInfo) -> str:
    """What the engine keeps otherwise than the spec says, so that scores would not be ours; or ""."""
    named = info.config.params.vectors
    ours = named.get(VECTOR_NAME) if isinstance(named, dict) else None
    if ours is None:
        return f"collection {spec.name!r} has no vectors named {VECTOR_NAME!r}"
    if ours.distance != models.Distance.DOT or ours.size != spec.size:
        return (
            f"collection {spec.name!r} compares vectors of size {ours.size} by "
            f"{ours.distance.value.lower()}, not of size {spec.size} by dot: it was made or changed "
            "by somebody else; ingest into a new collection"
        )
    return _missing(spec, info.config.params)


def _missing(spec: CollectionSpec, params: models.CollectionParams) -> str:
    """Say which of the vectors beside the full ones a collection lacks; or ""."""
    named = params.vectors if isinstance(params.vectors, dict) else {}
    lacking = {
        SPARSE_NAME: spec.lexical is not None and SPARSE_NAME not in (params.sparse_vectors or {}),
        COARSE_NAME: spec.coarse is not None and COARSE_NAME not in named,
    }
    for name, lacks in lacking.items():
        if lacks:
            return (
                f"collection {spec.name!r} has no vectors named {name!r} although its description "
                "says so: it was made or changed by somebody else; ingest into a new collection"
            )
    return ""


def optimizers_config(spec: CollectionSpec) -> models.OptimizersConfigDiff:
    threshold = tuning.index_threshold_kb(spec.coarse or spec.size)
    return models.OptimizersConfigDiff(indexing_threshold=threshold)


def payload_indexes(spec: CollectionSpec) -> dict[str, models.PayloadSchemaType]:
    """Return the indexes of a collection by payload path."""
    return {
        json_path(field): models.PayloadSchemaType(kind)
        for field, kind in {**INDEXED, **spec.metadata_fields}.items()
    }


def form_of(
    info: models.CollectionInfo, wanted: Mapping[str, models.PayloadSchemaType]
) -> StoredForm:
    """Return the form of a collection; `wanted` are the payload indexes that it should have."""
    named = info.config.params.vectors
    ours = named.get(VECTOR_NAME) if isinstance(named, dict) else named
    unindexed = tuple(field for field in wanted if field not in info.payload_schema)
    if ours is None:
        return StoredForm("none", None, unindexed)
    size = ours.size if isinstance(named, dict) else None
    return StoredForm(ours.distance.value.lower(), size, unindexed)


def search_params(how: Tuning, *, exact: bool, acorn: bool) -> models.SearchParams:
    return models.SearchParams(
        hnsw_ef=how.hnsw_ef,
        exact=exact,
        quantization=models.QuantizationSearchParams(
            ignore=exact, rescore=True, oversampling=how.oversampling
        ),
        acorn=models.AcornSearchParams(enable=True, max_selectivity=tuning.ACORN_SELECTIVITY)
        if acorn
        else None,
    )


def to_filter(clause: Condition | None) -> models.Filter | None:
    return None if clause is None else models.Filter.model_validate(clause)


def to_structs(spec: CollectionSpec, points: Points) -> list[models.PointStruct]:
    """Return points with every vector that a collection has; one without words has no sparse one."""
    vectors: list[dict[str, Any]] = [{VECTOR_NAME: row} for row in points.vectors.tolist()]
    if spec.coarse is not None and len(points):
        short = shorten(points.vectors, spec.coarse)
        for named, row in zip(vectors, short.tolist(), strict=True):
            named[COARSE_NAME] = row
    if spec.lexical is not None:
        for named, payload in zip(vectors, points.payloads, strict=True):
            words, weights = document_vector(spec.lexical, lexical_text(payload))
            if words:
                named[SPARSE_NAME] = models.SparseVector(indices=words, values=weights)
    rows = zip(points.ids, vectors, points.payloads, strict=True)
    return [
        models.PointStruct(id=str(key), vector=named, payload=payload)
        for key, named, payload in rows
    ]


def hit_of(point: models.ScoredPoint) -> Hit:
    hit = to_hit(UUID(str(point.id)), point.payload or {}, point.score)
    named: Any = point.vector
    if not isinstance(named, Mapping):
        return hit
    return replace(hit, vector=np.asarray(named[VECTOR_NAME], np.float32))


def stored_of(record: models.Record) -> StoredChunk:
    named: Any = record.vector
    vector = np.asarray(named[VECTOR_NAME], np.float32) if isinstance(named, Mapping) else None
    return to_stored(UUID(str(record.id)), record.payload or {}, vector)


def version_of(text: str) -> tuple[int, int]:
    """Return (major, minor) of a version such as `1.16.3-dev`; (0, 0) when there is none."""
    parts = text.lstrip("v").split(".")
    if len(parts) < 2 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        return (0, 0)
    return int(parts[0]), int(parts[1])
