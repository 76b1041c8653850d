"""`gateway ingest`."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from gateway.bootstrap import Runtime
from gateway.cli.common import (
    FAILED,
    AllowPrompted,
    Collection,
    Config,
    Json,
    Set,
    err,
    out,
    print_json,
    read_settings,
    run,
    runtime_of,
)
from gateway.domain.collections import CollectionSpec, FieldType
from gateway.errors import InvalidRequest
from gateway.ingest import report as reports
from gateway.ingest.readers import FORMATS, Source

SHOWN = 20
"""Problems printed as text; --json has all that the report keeps."""


def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, or '-' for stdin.")],
    collection: Collection,
    format_: Annotated[
        str | None, typer.Option("--format", help=f"Of stdin or named files: {', '.join(FORMATS)}.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Vector size of a new collection.")] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:TYPE",
            help="Metadata to index in a new collection: keyword, integer, float, bool, datetime.",
        ),
    ] = None,
    chunk_tokens: Annotated[
        int | None,
        typer.Option(help="Most tokens of a chunk, prompt and title too \\[default: 256]."),
    ] = None,
    overlap_tokens: Annotated[
        int | None, typer.Option(help="Tokens that neighbouring chunks share \\[default: 0].")
    ] = None,
    allow_prompted: AllowPrompted = False,
    as_json: Json = False,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Ingest documents: split, embed, store. What is stored already is skipped.

    Reads .md .txt .html .jsonl .csv. One bad document fails alone; the exit code is then 1.

    Examples:

      gateway ingest docs README.md --collection demo

      gateway ingest corpus.jsonl -c papers --field year:integer

      zcat dump.jsonl.gz | gateway ingest - --format jsonl -c dump
    """
    flags = {"ingest__chunk_tokens": chunk_tokens, "ingest__overlap_tokens": overlap_tokens}

    async def main() -> reports.IngestReport:
        source = Source(paths, format=format_)
        fields = parse_fields(field or [])
        async with runtime_of(read_settings(config, assignments, **flags)) as runtime:
            spec = await _spec(runtime, collection, size, fields)
            try:
                with _Bar(source, shown=not as_json) as bar:
                    return await runtime.ingestor.ingest(
                        spec, source, on_progress=bar.update, allow_prompted=allow_prompted
                    )
            except reports.IngestAborted as exc:
                err.print(f"error ({exc.cause.slug}): {exc}", markup=False)
                return exc.report

    report = run(main)
    if as_json:
        print_json(_facts(report))
    else:
        _print(report)
    if report.totals.failed or not report.complete:
        raise typer.Exit(FAILED)


def parse_fields(declared: list[str]) -> Mapping[str, FieldType]:
    """Read `name:type` declarations of metadata fields."""
    fields: dict[str, FieldType] = {}
    for item in declared:
        name, _, kind = item.partition(":")
        if kind not in set(FieldType):
            raise InvalidRequest(
                f"--field wants NAME:TYPE with a type of {', '.join(FieldType)}; got {item!r}"
            )
        if name in fields:
            raise InvalidRequest(f"--field declares {name!r} twice; give it one type")
        fields[name] = FieldType(kind)
    return fields


async def _spec(
    runtime: Runtime, name: str, size: int | None, fields: Mapping[str, FieldType]
) -> CollectionSpec:
    if size is None and not fields:
        return await runtime.collections.open_or_create(name)
    return await runtime.collections.create(name, size=size, filter_fields=fields)


class _Bar:
    """A progress bar on standard error: share of bytes read, rate, time left."""

    def __init__(self, source: Source, *, shown: bool) -> None:
        self._source = source
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=err,
            transient=True,
            disable=not shown or not err.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "_Bar":
        self._progress.start()
        self._task = self._progress.add_task("reading", total=self._source.total_bytes())
        return self

    def __exit__(self, *_exc: object) -> None:
        self._progress.stop()

    def update(self, progress: reports.Progress) -> None:
        totals = progress.totals
        text = (
            f"{totals.documents} documents, {totals.chunks} chunks, "
            f"{progress.chunks_per_second:,.0f} chunks/s"
        )
        if self._task is not None:
            self._progress.update(self._task, description=text, completed=self._source.bytes_read)


def _facts(report: reports.IngestReport) -> dict[str, Any]:
    failures = [asdict(row) for row in report.problems if row.outcome is reports.Outcome.FAILED]
    others = [asdict(row) for row in report.problems if row.outcome is not reports.Outcome.FAILED]
    return {
        "collection": report.collection,
        "documents": report.totals.documents,
        **asdict(report.totals),
        "seconds": round(report.seconds, 3),
        "complete": report.complete,
        "failures": failures,
        "left_out": others,
        "problems_omitted": report.problems_left_out,
        "not_ingested": list(report.not_ingested),
    }


def _print(report: reports.IngestReport) -> None:
    totals = report.totals
    out.print(
        f"[bold]{report.collection}[/]: {totals.documents} documents in {report.seconds:.1f} s: "
        f"{totals.added} added, {totals.updated} updated, {totals.unchanged} unchanged, "
        f"{totals.empty} empty, {totals.failed} failed"
    )
    out.print(
        f"{totals.chunks} chunks stored, {totals.tokens} tokens read, "
        f"{totals.truncated_tokens} truncated"
    )
    for row in report.problems[:SHOWN]:
        place = row.document_id or row.source
        line = f" line {row.line}" if row.line else ""
        out.print(f"  {row.outcome}: {place}{line}: {row.reason}", markup=False)
    hidden = len(report.problems) - SHOWN + report.problems_left_out
    if hidden > 0:
        out.print(f"  ... and {hidden} more (--json lists them)")
