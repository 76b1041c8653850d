"""How a shard of the embedded engine is made and asked; runs in the worker process only."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import qdrant_edge as qe

from gateway.vectorstores import tuning
from gateway.vectorstores.conditions import json_path
from gateway.vectorstores.payload import INDEXED, VECTOR_NAME

_INDEX_TYPES: Final = {
    "keyword": qe.PayloadSchemaType.Keyword,
    "integer": qe.PayloadSchemaType.Integer,
    "float": qe.PayloadSchemaType.Float,
    "bool": qe.PayloadSchemaType.Bool,
    "datetime": qe.PayloadSchemaType.Datetime,
}


def create_shard(path: Path, spec: Mapping[str, Any], index_from: int) -> qe.EdgeShard:
    """Make the shard of a collection, with its payload indexes before the first point."""
    shard = qe.EdgeShard.create(str(path), _config(spec["size"], index_from))
    create_indexes(shard, spec, _wanted(spec))
    return shard


def create_indexes(shard: qe.EdgeShard, spec: Mapping[str, Any], fields: Iterable[str]) -> None:
    """Index payload fields by the types that a collection's spec gives them."""
    wanted = _wanted(spec)
    for field in fields:
        schema = _INDEX_TYPES[wanted[field]]
        shard.update(qe.UpdateOperation.create_field_index(field, schema))


def unindexed(shard: qe.EdgeShard, spec: Mapping[str, Any]) -> list[str]:
    """Return the payload fields that should have an index and have none."""
    present = shard.info().payload_schema
    return [field for field in _wanted(spec) if field not in present]


def stored_form(path: Path) -> tuple[str, int | None]:
    """Return distance and size of a shard's vectors, as its own configuration says."""
    config = json.loads((path / "edge_config.json").read_text("utf-8"))
    ours = config["vectors"].get(VECTOR_NAME)
    return ("none", None) if ours is None else (ours["distance"].lower(), ours["size"])


def _wanted(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the payload indexes of a collection: type by path."""
    declared = {f"metadata.{key}": kind for key, kind in spec["filter_fields"].items()}
    return {json_path(field): kind for field, kind in {**INDEXED, **declared}.items()}


def search_params(*, exact: bool, acorn: bool) -> qe.SearchParams:
    """Parameters of one query; they matter only where a segment is indexed."""
    return qe.SearchParams(
        hnsw_ef=tuning.HNSW_EF,
        exact=exact,
        quantization=qe.QuantizationSearchParams(
            ignore=exact, rescore=True, oversampling=tuning.OVERSAMPLING
        ),
        acorn=qe.AcornSearchParams(enable=True, max_selectivity=tuning.ACORN_SELECTIVITY)
        if acorn
        else None,
    )


def _config(size: int, index_from: int) -> qe.EdgeConfig:
    vectors = qe.EdgeVectorParams(
        size=size,
        distance=qe.Distance.Dot,
        hnsw_config=qe.HnswIndexConfig(
            m=tuning.HNSW_M,
            ef_construct=tuning.HNSW_EF_CONSTRUCT,
            full_scan_threshold=tuning.FULL_SCAN_KB,
        ),
        quantization_config=qe.ScalarQuantizationConfig(
            type=qe.ScalarType.Int8, quantile=tuning.QUANTILE, memory=qe.Memory.Pinned
        ),
    )
    return qe.EdgeConfig(
        vectors={VECTOR_NAME: vectors},
        optimizers=qe.EdgeOptimizersConfig(
            indexing_threshold=tuning.index_threshold_kb(size, index_from)
        ),
        wal_enabled=True,
    )
