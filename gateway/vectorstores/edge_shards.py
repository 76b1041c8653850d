"""How a shard of the embedded engine is made and asked; runs in the worker process only."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import qdrant_edge as qe

from gateway.domain.collections import Quantization
from gateway.vectorstores import tuning
from gateway.vectorstores.bm25 import SPARSE_NAME
from gateway.vectorstores.conditions import json_path
from gateway.vectorstores.payload import COARSE_NAME, INDEXED, VECTOR_NAME

_INDEX_TYPES: Final = {
    "keyword": qe.PayloadSchemaType.Keyword,
    "integer": qe.PayloadSchemaType.Integer,
    "float": qe.PayloadSchemaType.Float,
    "bool": qe.PayloadSchemaType.Bool,
    "datetime": qe.PayloadSchemaType.Datetime,
}


def create_shard(path: Path, spec: Mapping[str, Any], index_from: int) -> qe.EdgeShard:
    """Make the shard of a collection, with its payload indexes before the first point."""
    shard = qe.EdgeShard.create(str(path), _config(spec, index_from))
    create_indexes(shard, spec, _wanted(spec))
    return shard


def load_shard(path: Path, spec: Mapping[str, Any], index_from: int) -> qe.EdgeShard:
    """Open a shard under the configuration that its spec asks for now."""
    return qe.EdgeShard.load(str(path), _config(spec, index_from))


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


def tuning_of(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how a collection is tuned; nothing where an older gateway made it."""
    return spec.get("tuning", {})


def search_params(how: Mapping[str, Any], *, exact: bool, acorn: bool) -> qe.SearchParams:
    """Parameters of one query by a spec's tuning; they matter only where a segment is indexed."""
    return qe.SearchParams(
        hnsw_ef=how.get("hnsw_ef", tuning.HNSW_EF),
        exact=exact,
        quantization=qe.QuantizationSearchParams(
            ignore=exact, rescore=True, oversampling=how.get("oversampling", tuning.OVERSAMPLING)
        ),
        acorn=qe.AcornSearchParams(enable=True, max_selectivity=tuning.ACORN_SELECTIVITY)
        if acorn
        else None,
    )


def _config(spec: Mapping[str, Any], index_from: int) -> qe.EdgeConfig:
    coarse = spec.get("coarse")
    kind = Quantization(tuning_of(spec).get("quantization", Quantization.INT8))
    vectors = {VECTOR_NAME: _vectors(spec["size"], kind, links=0 if coarse else tuning.HNSW_M)}
    if coarse:
        vectors[COARSE_NAME] = _vectors(coarse, kind, links=tuning.HNSW_M)
    words = {SPARSE_NAME: qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf)}
    return qe.EdgeConfig(
        vectors=vectors,
        sparse_vectors=words if spec.get("lexical") else None,
        optimizers=qe.EdgeOptimizersConfig(
            indexing_threshold=tuning.index_threshold_kb(coarse or spec["size"], index_from)
        ),
        wal_enabled=True,
    )


def _vectors(size: int, kind: Quantization, *, links: int) -> qe.EdgeVectorParams:
    """Vectors of one name; those without `links` are only scored again, never searched."""
    return qe.EdgeVectorParams(
        size=size,
        distance=qe.Distance.Dot,
        hnsw_config=qe.HnswIndexConfig(
            m=links,
            ef_construct=tuning.HNSW_EF_CONSTRUCT,
            full_scan_threshold=tuning.full_scan_kb(size),
        ),
        quantization_config=_QUANTIZATION[kind] if links else None,
    )


_QUANTIZATION: Final[Mapping[Quantization, Any]] = {
    Quantization.NONE: None,
    Quantization.INT8: qe.ScalarQuantizationConfig(
        type=qe.ScalarType.Int8, quantile=tuning.QUANTILE, memory=qe.Memory.Pinned
    ),
    Quantization.TURBO4: qe.TurboQuantQuantizationConfig(
        bits=qe.TurboQuantBitSize.Bits4, memory=qe.Memory.Pinned
    ),
    Quantization.TURBO2: qe.TurboQuantQuantizationConfig(
        bits=qe.TurboQuantBitSize.Bits2, memory=qe.Memory.Pinned
    ),
    Quantization.BINARY: qe.BinaryQuantizationConfig(memory=qe.Memory.Pinned),
}
