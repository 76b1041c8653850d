"""Vectors of a reference, written down: what a server of the same space must reproduce.

A recording is one JSON file. It holds final strings (prompts included), the reference's token ids and
its full unit vectors as base64 of little-endian float32, so that it can be held against any encoder
where the reference itself cannot be loaded.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from gateway.domain.vectors import Matrix, Vector, require_unit
from gateway.errors import ConfigurationError, DegenerateVector

FORMAT: Final = "gateway-recording/1"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One input: `rendered` is what the model read, `vector` what it answered, shape (full size,)."""

    task: str
    text: str
    title: str | None
    rendered: str
    token_ids: tuple[int, ...]
    vector: Vector


@dataclass(frozen=True, slots=True)
class Recording:
    """A reference's answers in one space; `made_by` are versions, dtype and weights of it."""

    space: str
    model_id: str
    size: int
    made_by: Mapping[str, str]
    items: Sequence[Recorded]

    @property
    def vectors(self) -> Matrix:
        """Rows of all items, shape (n, size)."""
        return np.stack([item.vector for item in self.items])

    def save(self, path: Path) -> None:
        body = {
            "format": FORMAT,
            "space": self.space,
            "model_id": self.model_id,
            "size": self.size,
            "made_by": dict(self.made_by),
            "items": [_to_json(item) for item in self.items],
        }
        path.write_text(json.dumps(body, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Read a recording.

        Raises:
            ConfigurationError: no such file, another format, or rows that are no unit vectors.
        """
        try:
            data = path.read_bytes()
            if msgspec.json.decode(data, type=_Form).format != FORMAT:
                raise ConfigurationError(f"{str(path)!r} is no recording of this format ({FORMAT})")
            body = msgspec.json.decode(data, type=_Body)
            items = tuple(_recorded(item) for item in body.items)
            recording = cls(body.space, body.model_id, body.size, body.made_by, items)
            require_unit(recording.vectors, size=recording.size)
        except (OSError, ValueError, msgspec.MsgspecError, DegenerateVector) as exc:
            raise ConfigurationError(f"{str(path)!r} is no readable recording: {exc}") from exc
        return recording


class _Form(msgspec.Struct):
    format: str = ""


class _Item(msgspec.Struct):
    task: str
    text: str
    title: str | None
    rendered: str
    token_ids: tuple[int, ...]
    vector: str


class _Body(msgspec.Struct):
    space: str
    model_id: str
    size: int
    made_by: dict[str, str]
    items: list[_Item]


def _to_json(item: Recorded) -> dict[str, Any]:
    return {
        "task": item.task,
        "text": item.text,
        "title": item.title,
        "rendered": item.rendered,
        "token_ids": list(item.token_ids),
        "vector": base64.b64encode(item.vector.astype("<f4").tobytes()).decode(),
    }


def _recorded(item: _Item) -> Recorded:
    vector = np.frombuffer(base64.b64decode(item.vector, validate=True), "<f4").astype(np.float32)
    return Recorded(item.task, item.text, item.title, item.rendered, item.token_ids, vector)
