"""What the options of `gateway eval` mean."""

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.domain.lexical import Lexical
from gateway.errors import InvalidRequest
from gateway.evaluation.baseline import load_baseline, require_kept
from gateway.evaluation.gate import MAX_DROP, Gate
from gateway.evaluation.plan import ORDERED, STAGES


def stages_of(given: str | None, *, rerank: bool, mmr: bool) -> tuple[str, ...]:
    """Read the list of stages; the last one runs with a reranker or MMR behind it too, if asked."""
    names = STAGES if given is None else given.split(",")
    stages = [name.strip() for name in names if name.strip()]
    last = stages[-1:]
    for more in [name for name, asked in zip(ORDERED, (rerank, mmr), strict=True) if asked]:
        stages += [f"{stage}+{more}" for stage in last if more not in stage.split("+")]
    return tuple(dict.fromkeys(stages))


def assignments_of(variant: str) -> list[str]:
    """Part a variant into its settings; a value may hold commas.

    Raises:
        InvalidRequest: a part of it sets nothing.
    """
    parts = re.split(r",(?=[A-Za-z0-9_.]+=)", variant)
    if not all(part.partition("=")[1] for part in parts):
        raise InvalidRequest(f"--variant wants KEY=VALUE[,KEY=VALUE], got {variant!r}")
    return parts


def lexical_of(usual: str, **asked: float | str | None) -> Lexical | None:
    """Return how words are weighed where something of it was asked; `usual` is their language.

    Raises:
        InvalidRequest: there is no such language, or a figure is out of bounds.
    """
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    return replace(Lexical(usual), **given) if given else None


def gate_of(
    baseline: Path | None,
    max_drop: float | None,
    *,
    stages: Collection[str] | None,
    folder: Path | None,
) -> Gate | None:
    """Return the gate of a baseline's file, if there is one; `stages` as in `Gate`.

    `folder` is where the report of this run will be written.

    Raises:
        InvalidRequest: no share of a measure.
        UnusableBaseline: the file cannot be read, is no report, or would be overwritten.
    """
    drop = MAX_DROP if max_drop is None else max_drop
    if not 0 <= drop <= 1:
        raise InvalidRequest(f"--max-drop is {drop}; measures lie within 0-1, take 0.01 or so")
    if baseline is None:
        return None
    if folder is not None:
        require_kept(baseline, folder)
    return Gate(load_baseline(baseline), drop, stages)
