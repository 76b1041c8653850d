"""`gateway search`."""

import json
from typing import Annotated, Any

import typer

from gateway.api.filters import parse_filter
from gateway.api.search_wire import search_json
from gateway.cli.common import (
    AllowPrompted,
    Collection,
    Config,
    Json,
    Set,
    Truncate,
    err,
    out,
    print_json,
    read_settings,
    run,
    runtime_of,
)
from gateway.domain.search import Hit
from gateway.errors import InvalidFilter
from gateway.retrieval.pipeline import SearchOptions, SearchResult

SNIPPET = 240
"""Characters of a chunk shown per hit."""


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    collection: Collection,
    limit: Annotated[int, typer.Option("--limit", "-n", help="Hits to return.")] = 5,
    offset: Annotated[int, typer.Option(help="Hits to skip.")] = 0,
    task: Annotated[
        str, typer.Option(help="query, question_answering, fact_checking, ...")
    ] = "query",
    where: Annotated[
        str | None, typer.Option("--filter", help="JSON filter; see docs/how-to/filters.md.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Lowest score to return.")] = None,
    by_document: Annotated[
        bool, typer.Option("--by-document", help="Best chunk of each document only.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say how it was answered.")] = False,
    allow_prompted: AllowPrompted = False,
    truncate: Truncate = False,
    as_json: Json = False,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Search a collection.

    Examples:

      gateway search "how are vectors cut?" -c demo

      gateway search "late invoices" -c mail --filter '{"eq": {"metadata.year": 2025}}' --json
    """

    async def main() -> SearchResult:
        options = SearchOptions(
            task=task,
            limit=limit,
            offset=offset,
            where=parse_filter(_json(where)) if where else None,
            score_threshold=threshold,
            by_document=by_document,
            allow_prompted=allow_prompted,
            truncate=truncate,
        )
        async with runtime_of(read_settings(config, assignments)) as runtime:
            return await runtime.retriever.search(collection, query, options)

    result = run(main)
    for warning in result.warnings:
        err.print(f"warning: {warning}", markup=False)
    if as_json:
        print_json(json.loads(search_json(result, explain=explain)))
        return
    _print(result, explain=explain)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as exc:
        raise InvalidFilter(f"--filter is not JSON: {exc}", field="filter") from exc


def _print(result: SearchResult, *, explain: bool) -> None:
    if not result.hits:
        out.print("no hits")
    for rank, hit in enumerate(result.hits, start=1):
        _print_hit(rank, hit)
    if explain:
        how = result.explanation
        out.print(f"prompt {how.prompt!r}, {how.tokens} tokens, space {how.space}", markup=False)
        steps = ", ".join(f"{s.stage} {s.seconds * 1000:.1f} ms ({s.hits})" for s in how.stages)
        out.print(f"embed {how.embed_seconds * 1000:.1f} ms, {steps}", markup=False)


def _print_hit(rank: int, hit: Hit) -> None:
    chunk = hit.chunk
    where = " > ".join(chunk.heading_path) or chunk.title or ""
    out.print(f"[bold]{rank}.[/] [green]{hit.score:.4f}[/]  [cyan]", end="")
    out.print(chunk.document_id, markup=False, style="cyan", end="  ")
    out.print(where, markup=False, style="dim")
    snippet = " ".join(chunk.text.split())
    cut = snippet if len(snippet) <= SNIPPET else snippet[:SNIPPET].rsplit(" ", 1)[0] + " ..."
    out.print(f"   {cut}", markup=False)
