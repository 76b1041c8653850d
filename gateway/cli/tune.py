"""`gateway collections tune`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.cli._printing import printing
from gateway.cli.common import (
    Config,
    Json,
    Set,
    err,
    never_a_verdict,
    out,
    print_json,
    print_table,
    read_settings,
    run_for_verdict,
    runtime_of,
    warn,
)
from gateway.domain.collections import Quantization
from gateway.errors import InvalidRequest
from gateway.retrieval.measuring import Trial, TuningPlan, TuningReport
from gateway.retrieval.tuning import Tuner

MISSED = 1
"""Exit code when no way to search reaches the recall."""


def tune(
    name: Annotated[str, typer.Argument(help="Name of the collection.")],
    recall: Annotated[
        float, typer.Option(help="Share of the exact hits that must be found, 0-1.")
    ] = 0.99,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Hits that are compared.")] = 10,
    queries: Annotated[int, typer.Option(help="Queries to measure with.")] = 100,
    queries_file: Annotated[
        Path | None,
        typer.Option(
            "--queries-file", help="What your users ask, one a line; else made of chunks."
        ),
    ] = None,
    kinds: Annotated[
        list[Quantization] | None,
        typer.Option("--quantization", help="Kinds to try; repeat it. All by default."),
    ] = None,
    points: Annotated[int, typer.Option(help="Most chunks to copy and measure on.")] = 100_000,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure only; leave the collection as it is.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Measure how a collection must be searched to reach a recall, and keep the fastest way.

    Quantised copies and short vectors are searched first and the best candidates scored again; how many
    candidates that takes depends on your texts. It is measured on a copy of the vectors in a scratch
    collection: the collection is searched as before until the choice is made.

    Exit codes: 0 chosen, 1 nothing reaches the recall, 2 could not measure.

    Examples:

      gateway collections tune docs --recall 0.99

      gateway collections tune docs --quantization int8 --quantization turbo4 --dry-run --json
    """

    async def main() -> TuningReport:
        plan = TuningPlan(
            recall=recall,
            limit=limit,
            queries=queries,
            points=points,
            kinds=tuple(kinds or Quantization),
        )
        asked = _lines(queries_file)
        async with runtime_of(read_settings(config, assignments)) as runtime:
            tuner = Tuner(runtime.embedder, runtime.store, runtime.collections)
            with err.status("opening") as status:
                return await tuner.tune(
                    name, plan, queries=asked, keep=not dry_run, say=status.update
                )

    report = run_for_verdict(main)
    with never_a_verdict(), printing():
        _tell(report, kinds, kept=not dry_run, as_json=as_json)
    if report.chosen is None:
        raise typer.Exit(MISSED)


def _tell(
    report: TuningReport, kinds: list[Quantization] | None, *, kept: bool, as_json: bool
) -> None:
    untried = [kind.value for kind in kinds or () if kind is not Quantization.NONE]
    if untried and not report.indexed:
        warn(
            f"--quantization {', '.join(untried)} could not be tried: "
            f"{report.points} chunks are too few for an index; ingest more, or take more --points"
        )
    if as_json:
        print_json(_facts(report, kept=kept))
    else:
        _print(report, kept=kept)


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidRequest(f"cannot read queries from {str(path)!r}: {exc}") from exc
    if found := [line for line in lines if line]:
        return found
    raise InvalidRequest(f"{str(path)!r} holds no query; write one a line")


def _facts(report: TuningReport, *, kept: bool) -> dict[str, Any]:
    facts = asdict(report)
    facts["exact_is_as_fast"] = report.exact_is_as_fast
    facts["kept"] = kept and report.chosen is not None
    return facts


def _print(report: TuningReport, *, kept: bool) -> None:
    out.print(
        f"{report.collection}: {report.points} chunks, {report.queries} queries, "
        f"recall@{report.limit} against exact search ({report.exact_milliseconds:.2f} ms)",
        markup=False,
    )
    if not report.indexed:
        out.print("too few chunks for an index: every full-size search is exact", style="dim")
    columns = ("quantization", "oversampling", "coarse x", "ef", "recall", "p50 ms", "bytes/chunk")
    table = Table(*columns, "searched", "", box=None)
    for trial in report.trials:
        table.add_row(*_row(trial), "chosen" if trial is report.chosen else "")
    print_table(table)
    out.print(_verdict(report, kept=kept), markup=False)
    if report.exact_is_as_fast:
        out.print(
            f"exact search of the full vectors took no longer ({report.exact_milliseconds:.2f} ms): "
            "at this size search with --exact, or tune again when the collection has grown",
            markup=False,
        )


def _row(trial: Trial) -> list[str]:
    tuning, size = trial.tuning, trial.footprint
    return [
        tuning.quantization.value,
        f"{tuning.oversampling:g}",
        f"{tuning.coarse_oversampling:g}",
        str(tuning.hnsw_ef),
        f"{trial.recall:.4f}",
        f"{trial.milliseconds:.2f}",
        str(size.total),
        str(size.searched),
    ]


def _verdict(report: TuningReport, *, kept: bool) -> str:
    if report.chosen is None:
        best = max((trial.recall for trial in report.trials), default=0.0)
        return (
            f"nothing reaches recall {report.wanted:g} (best {best:.4f}): ask for less, or make the "
            "collection anew with a larger coarse size; it is left as it was"
        )
    verb = "kept with the collection" if kept else "not kept (--dry-run)"
    return f"chosen: the fastest of these that reaches recall {report.wanted:g}; {verb}"
