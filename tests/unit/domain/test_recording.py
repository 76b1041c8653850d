"""Recordings are read back bit for bit, or not at all."""

import json
from pathlib import Path

import numpy as np
import pytest

from gateway.domain.recording import Recorded, Recording
from gateway.errors import ConfigurationError


def recording() -> Recording:
    rows = np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    items = [
        Recorded("query", "wo?", None, "task: search result | query: wo?", (2, 7, 1), rows[0]),
        Recorded("document", "Да", "Титул", "title: Титул | text: Да", (2, 9, 8, 1), rows[1]),
    ]
    return Recording("tiny:0123", "tests/tiny", 8, {"torch": "2", "dtype": "float32"}, items)


def test_a_recording_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    made, file = recording(), tmp_path / "golden.json"
    made.save(file)
    read = Recording.load(file)

    assert read.vectors.tobytes() == made.vectors.tobytes()
    facts = [(i.task, i.text, i.title, i.rendered, i.token_ids) for i in read.items]
    assert facts == [(i.task, i.text, i.title, i.rendered, i.token_ids) for i in made.items]
    assert (read.space, read.model_id, read.size) == (made.space, made.model_id, made.size)
    assert read.made_by == made.made_by


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "something/9"}, "format"),
        ({"size": 9}, "size 9"),
        ({"items": []}, "readable"),
        ({"made_by": None}, "made_by"),
        ({"made_by": {"model": 3}}, "made_by"),
        ({"size": "768"}, "size"),
        ({"items": [{"task": "query"}]}, "readable"),
    ],
)
def test_anything_else_is_refused_by_name(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    file = tmp_path / "golden.json"
    recording().save(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))

    with pytest.raises(ConfigurationError, match=told) as caught:
        Recording.load(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("text", 5), ("text", None), ("title", 5), ("task", 3), ("token_ids", ["a"]), ("vector", "?")],
)
def test_a_damaged_item_is_refused(tmp_path: Path, field: str, value: object) -> None:
    file = tmp_path / "golden.json"
    recording().save(file)
    body = json.loads(file.read_text())
    body["items"][0][field] = value
    file.write_text(json.dumps(body))
    with pytest.raises(ConfigurationError, match="no readable recording"):
        Recording.load(file)


@pytest.mark.parametrize("content", ["", "[]", "no json", '{"format": "gateway-recording/1"}'])
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "golden.json"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"golden\.json"):
        Recording.load(file)
    with pytest.raises(ConfigurationError, match="absent"):
        Recording.load(tmp_path / "absent")


def test_a_row_that_is_no_unit_vector_is_refused(tmp_path: Path) -> None:
    made, file = recording(), tmp_path / "golden.json"
    made.items[0].vector[:] *= 2
    made.save(file)
    with pytest.raises(ConfigurationError, match="norm 2"):
        Recording.load(file)
