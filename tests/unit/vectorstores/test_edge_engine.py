"""The worker's own half of the embedded store, run in this process."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as qe

from gateway.domain.search import Eq, In
from gateway.vectorstores.conditions import compile_filter
from gateway.vectorstores.edge_engine import Engine, NoCollection
from gateway.vectorstores.edge_files import write_spec
from gateway.vectorstores.edge_wire import pack_ids
from gateway.vectorstores.points import Points, to_points
from gateway.vectorstores.schema import spec_from_json, spec_to_json
from tests.contract.stores import SPEC, made, unit

TAGS = 100
LATER = ("lexical", "coarse", "tuning", "calibrations")
"""What a collection's description did not have in its first form."""


def put(engine: Engine, points: Points) -> None:
    vectors = points.vectors.tobytes()
    engine.upsert("docs", pack_ids(points.ids), vectors, points.payloads)


def nearest(engine: Engine, vector: np.ndarray[Any, Any], where: Any, **how: Any) -> set[bytes]:
    asked = {
        "vector": vector.tobytes(),
        "where": where,
        "limit": 10,
        "threshold": None,
        "exact": False,
        "acorn": False,
        "coarse": None,
        "with_vectors": False,
        "explain": False,
        **how,
    }
    found, passes = engine.query("docs", "dense", asked)
    assert passes == []
    return {row[0] for row in found}


def test_an_indexed_collection_keeps_its_recall(tmp_path: Path) -> None:
    """Graph and int8 codes built, rescoring on: without it one hit in fourteen was lost."""
    engine = Engine(tmp_path, index_from=5_000)
    engine.ensure(spec_to_json(SPEC))
    chunks = [made("d", i, metadata={"tag": f"t{i % TAGS}"}) for i in range(6_000)]
    put(engine, to_points(SPEC, chunks))
    assert engine.unindexed() == "docs"
    engine.index("docs")
    assert engine.unindexed() is None
    clause = compile_filter(In("metadata.tag", tuple(f"t{i}" for i in range(10))), SPEC)
    for where in (None, clause):
        found = [nearest(engine, unit(seed), where, acorn=True) for seed in range(30)]
        exact = [nearest(engine, unit(seed), where, exact=True) for seed in range(30)]
        shared = sum(len(a & b) for a, b in zip(found, exact, strict=True))
        assert shared >= 0.97 * 300
    engine.close()
    again = Engine(tmp_path, index_from=5_000)
    assert again.count("docs", None) == 6_000
    assert again.unindexed() is None
    again.close()


def test_a_payload_index_that_is_gone_is_told_and_made_again(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.ensure(spec_to_json(SPEC))
    put(engine, to_points(SPEC, [made("d", index, metadata={"year": index}) for index in range(9)]))
    assert engine.inspect("docs") == ("dot", SPEC.size, [])
    engine.close()
    shard = qe.EdgeShard.load(str(tmp_path / "collections" / "docs" / "shard"))
    shard.update(qe.UpdateOperation.delete_field_index("metadata.year"))
    shard.flush()
    shard.close()
    again = Engine(tmp_path)
    assert again.inspect("docs") == ("dot", SPEC.size, ["metadata.year"])
    assert again.mend_indexes("docs") == ["metadata.year"]
    assert again.inspect("docs") == ("dot", SPEC.size, [])
    assert again.count("docs", compile_filter(Eq("metadata.year", 3), SPEC)) == 1
    again.close()


def test_a_small_collection_has_no_index(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.ensure(spec_to_json(SPEC))
    put(engine, to_points(SPEC, [made("d", index) for index in range(500)]))
    assert engine.unindexed() is None
    engine.close()


def test_what_was_half_made_or_half_dropped_is_cleared_away(tmp_path: Path) -> None:
    half = tmp_path / "collections" / "half" / "shard"
    half.mkdir(parents=True)
    grave = tmp_path / "dropped" / "old.1"
    grave.mkdir(parents=True)
    engine = Engine(tmp_path)
    assert engine.specs() == []
    assert not half.parent.exists()
    assert not grave.exists()
    engine.ensure(spec_to_json(SPEC))
    engine.drop("docs")
    assert list((tmp_path / "collections").iterdir()) == []
    with pytest.raises(NoCollection, match="docs"):
        engine.drop("docs")
    engine.close()


def test_the_spec_lies_readable_beside_the_shard(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.ensure(spec_to_json(SPEC))
    written = json.loads((tmp_path / "collections" / "docs" / "spec.json").read_text("utf-8"))
    assert written == spec_to_json(SPEC)
    engine.close()
    assert Engine(tmp_path).specs() == [written]


def test_a_flush_is_due_after_a_write_only(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    engine.ensure(spec_to_json(SPEC))
    assert not engine.dirty
    put(engine, to_points(SPEC, [made()]))
    assert engine.dirty
    engine.flush()
    assert not engine.dirty
    engine.delete("docs", compile_filter(Eq("document_id", "d"), SPEC))
    assert engine.dirty
    engine.close()
    assert not engine.dirty


def test_a_collection_of_an_earlier_gateway_is_opened_and_searched(tmp_path: Path) -> None:
    """Its description knows no words, short vectors or tuning, and its shard has another policy."""
    spec = {key: value for key, value in spec_to_json(SPEC).items() if key not in LATER}
    folder = tmp_path / "collections" / SPEC.name
    folder.mkdir(parents=True)
    vectors = qe.EdgeVectorParams(
        size=SPEC.size,
        distance=qe.Distance.Dot,
        hnsw_config=qe.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=80_000),
        quantization_config=qe.ScalarQuantizationConfig(type=qe.ScalarType.Int8, quantile=0.99),
    )
    shard = qe.EdgeShard.create(str(folder / "shard"), qe.EdgeConfig(vectors={"dense": vectors}))
    shard.flush()
    shard.close()
    write_spec(folder, spec)

    engine = Engine(tmp_path)
    (stored,) = engine.specs()
    assert spec_from_json(stored) == SPEC
    points = to_points(SPEC, [made("d", 0, vector=unit(3))])
    engine.upsert(SPEC.name, pack_ids(points.ids), points.vectors.tobytes(), points.payloads)
    assert nearest(engine, unit(3), None) == {points.ids[0].bytes}
    engine.close()
