"""Answers as bytes: vectors as JSON numbers or base64, and the headers that tell what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import orjson
import pybase64
from numpy.typing import NDArray

from gateway.modelserver.contract import Contract, Refusal

Rows: TypeAlias = NDArray[np.float32]
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `headers` come after the content type."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = JSON
    headers: tuple[tuple[str, str], ...] = ()

    def with_type(self, content_type: str) -> "Reply":
        return replace(self, content_type=content_type)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a request took. Seconds of queue and inference are means over its inputs."""

    characters: int
    tokens: int
    total: float
    tokenization: float
    queue: float
    inference: float

    def headers(self) -> tuple[tuple[str, str], ...]:
        """TEI's headers; all times in whole milliseconds."""
        return (
            ("x-compute-type", "gpu+optimized"),
            ("x-compute-time", _milliseconds(self.total)),
            ("x-compute-characters", str(self.characters)),
            ("x-compute-tokens", str(self.tokens)),
            ("x-total-time", _milliseconds(self.total)),
            ("x-tokenization-time", _milliseconds(self.tokenization)),
            ("x-queue-time", _milliseconds(self.queue)),
            ("x-inference-time", _milliseconds(self.inference)),
        )


def json_reply(value: object, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """NaN and infinity become `null`, as serde writes them."""
    return Reply(200, orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY), JSON, headers)


def openai_body(
    rows: Sequence[Rows], model: str, tokens: int, *, base64: bool, indexes: Sequence[int]
) -> dict[str, Any]:
    """OpenAI's list; `indexes` are what the items say of their places."""
    data = [
        {
            "object": "embedding",
            "embedding": coded(row) if base64 else row,
            "index": index,
        }
        for row, index in zip(rows, indexes, strict=True)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def coded(row: Rows) -> str:
    """Little-endian float32 in base64."""
    return pybase64.b64encode(row.astype("<f4", copy=False).tobytes()).decode()


def error_reply(contract: Contract, refusal: Refusal, *, openai: bool) -> Reply:
    status, text = contract.status(refusal.error_type), str(refusal)
    if openai:
        body = {"message": text, "code": status, "type": refusal.error_type}
    else:
        body = {"error": text, "error_type": refusal.error_type}
    return Reply(status, orjson.dumps(body))


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))
