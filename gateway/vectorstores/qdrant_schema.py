"""Our collections in the words of qdrant-client: pure translations, no call."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import numpy as np
from qdrant_client import models

from gateway.domain.collections import CollectionSpec, StoredForm
from gateway.domain.documents import StoredChunk
from gateway.domain.search import Hit
from gateway.vectorstores import tuning
from gateway.vectorstores.conditions import Condition, json_path
from gateway.vectorstores.payload import INDEXED, VECTOR_NAME, to_hit, to_stored
from gateway.vectorstores.points import Points

FLOOR: Final = (1, 16)
"""First server that keeps metadata with a collection."""


def vectors_config(size: int) -> dict[str, models.VectorParams]:
    return {
        VECTOR_NAME: models.VectorParams(
            size=size,
            distance=models.Distance.DOT,
            hnsw_config=models.HnswConfigDiff(
                m=tuning.HNSW_M,
                ef_construct=tuning.HNSW_EF_CONSTRUCT,
                full_scan_threshold=tuning.FULL_SCAN_KB,
            ),
            quantization_config=models.ScalarQuantization(
                scalar=models.ScalarQuantizationConfig(
                    type=models.ScalarType.INT8, quantile=tuning.QUANTILE, always_ram=True
                )
            ),
        )
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
    return ""


def optimizers_config(size: int) -> models.OptimizersConfigDiff:
    return models.OptimizersConfigDiff(indexing_threshold=tuning.index_threshold_kb(size))


def payload_indexes(spec: CollectionSpec) -> dict[str, models.PayloadSchemaType]:
    """Return the indexes of a collection by payload path."""
    declared = {f"metadata.{key}": kind.value for key, kind in spec.filter_fields.items()}
    return {
        json_path(field): models.PayloadSchemaType(kind)
        for field, kind in {**INDEXED, **declared}.items()
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


def search_params(*, exact: bool, acorn: bool) -> models.SearchParams:
    return models.SearchParams(
        hnsw_ef=tuning.HNSW_EF,
        exact=exact,
        quantization=models.QuantizationSearchParams(
            ignore=exact, rescore=True, oversampling=tuning.OVERSAMPLING
        ),
        acorn=models.AcornSearchParams(enable=True, max_selectivity=tuning.ACORN_SELECTIVITY)
        if acorn
        else None,
    )


def to_filter(clause: Condition | None) -> models.Filter | None:
    return None if clause is None else models.Filter.model_validate(clause)


def to_structs(points: Points) -> list[models.PointStruct]:
    rows = zip(points.ids, points.vectors.tolist(), points.payloads, strict=True)
    return [
        models.PointStruct(id=str(key), vector={VECTOR_NAME: row}, payload=payload)
        for key, row, payload in rows
    ]


def hit_of(point: models.ScoredPoint) -> Hit:
    return to_hit(UUID(str(point.id)), point.payload or {}, point.score)


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
