"""A report as JSON, and back: what `gateway eval --json` prints and a baseline is read from.

Rankings are not part of it: they go into TREC run files.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from gateway.domain.calibration import Calibration
from gateway.evaluation.results import (
    Calibrated,
    Comparison,
    Configuration,
    Dataset,
    Index,
    Interval,
    Latency,
    Published,
    QueryResult,
    Recommendation,
    Report,
    Run,
)

VERSION: Final = 1
_DIGITS: Final = 6


def report_to_json(report: Report) -> dict[str, Any]:
    """Return the report as plain JSON values. `metrics` have 6 decimals."""
    advice = report.recommendation
    return {
        "version": VERSION,
        "dataset": asdict(report.dataset),
        "depth": report.depth,
        "runs": [_run(run) for run in report.runs],
        "comparisons": [_plain(asdict(one)) for one in report.comparisons],
        "recommendation": None if advice is None else _listed(advice),
        "published": [asdict(one) for one in report.published],
        "warnings": list(report.warnings),
        "versions": dict(report.versions),
        "seconds": round(report.seconds, 3),
        "calibrations": [_plain(asdict(one)) for one in report.calibrations],
    }


def report_from_json(data: Mapping[str, Any]) -> Report:
    """Return what `report_to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: it did not write it.
    """
    if data["version"] != VERSION:
        raise ValueError(f"it is of version {data['version']!r}, not {VERSION}")
    advice = data["recommendation"]
    return Report(
        dataset=Dataset(**data["dataset"]),
        runs=tuple(_run_from(run) for run in data["runs"]),
        depth=int(data["depth"]),
        comparisons=tuple(Comparison(**one) for one in data["comparisons"]),
        recommendation=None if advice is None else _advice(advice),
        published=tuple(Published(**one) for one in data["published"]),
        warnings=tuple(data["warnings"]),
        versions=dict(data["versions"]),
        seconds=float(data["seconds"]),
        calibrations=tuple(_calibrated_from(one) for one in data.get("calibrations", ())),
    )


def _calibrated_from(data: Mapping[str, Any]) -> Calibrated:
    return Calibrated(
        run=data.get("run", data["stage"]),
        stage=data["stage"],
        calibration=Calibration.from_json(data["calibration"]),
        brier=data["brier"],
        error=data["error"],
        kept=data.get("kept"),
        replaced=data.get("replaced"),
    )


def _run(run: Run) -> dict[str, Any]:
    configuration = run.configuration
    return {
        "name": run.name,
        "stage": configuration.stage,
        "profile": configuration.profile,
        "space": configuration.space,
        "size": configuration.size,
        "quantization": configuration.quantization,
        "coarse": configuration.coarse,
        "options": dict(configuration.options),
        "metrics": _plain(run.metrics),
        "intervals": {
            name: [round(one.low, _DIGITS), round(one.high, _DIGITS)]
            for name, one in run.intervals.items()
        },
        "latency": _plain(asdict(run.latency)),
        "index": {**asdict(run.index), "bytes": run.index.bytes},
        "query_tokens": run.query_tokens,
        "queries": [
            {
                "query_id": one.query_id,
                "metrics": _plain(one.metrics),
                "ms": round(one.seconds * 1000, 3),
            }
            for one in run.queries
        ],
    }


def _run_from(data: Mapping[str, Any]) -> Run:
    index = {key: value for key, value in data["index"].items() if key != "bytes"}
    return Run(
        configuration=Configuration(
            name=data["name"],
            stage=data["stage"],
            profile=data["profile"],
            space=data["space"],
            size=data["size"],
            quantization=data["quantization"],
            coarse=data["coarse"],
            options=dict(data["options"]),
        ),
        metrics={name: float(value) for name, value in data["metrics"].items()},
        intervals={name: Interval(*pair) for name, pair in data["intervals"].items()},
        queries=tuple(
            QueryResult(one["query_id"], dict(one["metrics"]), (), one["ms"] / 1000)
            for one in data["queries"]
        ),
        latency=Latency(**data["latency"]),
        index=Index(**index),
        query_tokens=data["query_tokens"],
    )


def _listed(advice: Recommendation) -> dict[str, Any]:
    return {**asdict(advice), "frontier": list(advice.frontier)}


def _advice(data: Mapping[str, Any]) -> Recommendation:
    known: dict[str, Any] = {**data, "frontier": tuple(data["frontier"])}
    return Recommendation(**known)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, _DIGITS) if isinstance(value, float) else value
        for name, value in values.items()
    }
