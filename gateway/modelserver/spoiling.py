"""What faults do to vectors and answers."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.modelserver.contract import Refusal
from gateway.modelserver.faults import Fault, FaultKind
from gateway.modelserver.replies import Rows
from gateway.modelserver.requests import Rejection

REFUSALS: dict[FaultKind, Refusal] = {
    "overloaded": Refusal("Overloaded", "Model is overloaded", "overloaded"),
    "unhealthy": Refusal("Unhealthy", "unhealthy"),
    "backend": Refusal("Backend", "Backend error: CUDA error: out of memory", "inference"),
    "tokenizer": Refusal(
        "Tokenizer", "tokenizer error the text cannot be tokenised", "tokenization"
    ),
}


def refuse(fault: Fault) -> None:
    """Raise what a fault answers instead of the server; others pass."""
    if fault.kind == "bad-gateway":
        refused = Rejection(502, "<html><h1>502 Bad Gateway</h1></html>")
        refused.reply = refused.reply.with_type("text/html")
        raise refused
    if fault.kind == "retry-after":
        raise Rejection(429, "too many requests", ("retry-after", str(math.ceil(fault.seconds))))
    if fault.kind == "not-json":
        raise Rejection(200, "ok")
    if fault.kind in REFUSALS:
        known = REFUSALS[fault.kind]
        raise Refusal(known.error_type, str(known), known.cause)


def turned(rows: Rows, seed: int) -> Rows:
    """Rows of another model of the same size: axes exchanged and mirrored, lengths kept."""
    source = np.random.default_rng(seed)
    size = rows.shape[1]
    signs = source.choice(np.array([-1.0, 1.0], np.float32), size)
    return np.ascontiguousarray(rows[:, source.permutation(size)] * signs)


def spoil(rows: Rows, fault: Fault) -> Rows:
    """Finished rows as a fault answers them."""
    rows = rows.copy()
    middle = len(rows) // 2
    match fault.kind:
        case "null":
            rows[middle] = np.nan
        case "zero":
            rows[middle] = 0.0
        case "short-rows":
            rows = np.ascontiguousarray(rows[:, : rows.shape[1] // 2])
        case "too-few":
            rows = rows[:-1]
        case "swapped":
            rows = np.roll(rows, 1, axis=0)
        case _:
            pass
    return rows


def spoiled_ranks(ranks: list[dict[str, Any]], fault: Fault | None) -> list[dict[str, Any]]:
    """Ranks as a fault answers them: one without a number, one less, or all of one index."""
    match fault.kind if fault is not None else None:
        case "null":
            return [ranks[0] | {"score": None}, *ranks[1:]]
        case "too-few":
            return ranks[:-1]
        case "same-index":
            return [rank | {"index": 0} for rank in ranks]
        case _:
            return ranks


def item_order(count: int, fault: Fault | None) -> NDArray[np.int64]:
    """Which row each item of OpenAI's list holds."""
    order = np.arange(count)
    return order[::-1] if fault is not None and fault.kind == "reversed" else order


def item_indexes(count: int, fault: Fault | None) -> list[int]:
    """What the items say of their places."""
    if fault is not None and fault.kind == "same-index":
        return [0] * count
    return item_order(count, fault).tolist()
