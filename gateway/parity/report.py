"""The result of a run, and its form as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.observability.versions import own_versions
from gateway.parity.compare import Comparison
from gateway.parity.corpus import corpus_fingerprint
from gateway.parity.truth import Truth

FORMAT = "gateway-parity/1"


@dataclass(frozen=True, slots=True)
class Report:
    """Candidates against one reference. `corpus` is the sha256 of what was compared."""

    profile: str
    space: str
    reference: str
    made_by: Mapping[str, str]
    corpus: str
    texts: int
    longest: int
    at: str
    versions: Mapping[str, str]
    comparisons: tuple[Comparison, ...]

    @property
    def ok(self) -> bool:
        return bool(self.comparisons) and all(one.ok for one in self.comparisons)


def make_report(
    profile: str, truth: Truth, comparisons: Sequence[Comparison], *, at: str
) -> Report:
    """Join comparisons with what they were made of; `at` is RFC 3339 in UTC."""
    items = truth.recording.items
    return Report(
        profile=profile,
        space=truth.recording.space,
        reference=truth.source,
        made_by=truth.recording.made_by,
        corpus=corpus_fingerprint(items),
        texts=len(items),
        longest=max(len(item.token_ids) for item in items),
        at=at,
        versions=own_versions(),
        comparisons=tuple(comparisons),
    )


def to_json(report: Report) -> dict[str, Any]:
    """The report without the numbers behind the pictures."""
    return {
        "format": FORMAT,
        "in_parity": report.ok,
        "profile": report.profile,
        "space": report.space,
        "reference": {"source": report.reference, "made_by": dict(report.made_by)},
        "corpus": {"sha256": report.corpus, "texts": report.texts, "longest": report.longest},
        "at": report.at,
        "versions": dict(report.versions),
        "candidates": [_candidate(one) for one in report.comparisons],
    }


def _candidate(one: Comparison) -> dict[str, Any]:
    about = one.about
    return {
        "kind": about.kind,
        "where": about.where,
        "model_id": about.model_id,
        "dtype": about.dtype or "not told",
        "facts": dict(about.facts),
        "in_parity": one.ok,
        "cause": one.cause,
        "bars": one.bars.as_facts(),
        "layers": [
            {
                "layer": layer.layer,
                "proves": layer.proves,
                "status": layer.status.value,
                "figures": dict(layer.figures),
                "failures": list(layer.failures),
                "note": layer.note,
            }
            for layer in one.layers
        ],
    }
