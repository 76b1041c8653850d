"""`gateway search`."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.api.filters import parse_filter
from gateway.api.search_wire import search_json
from gateway.cli._search_options import coarse_of, fusion_of, rerank_of
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
    print_table,
    read_settings,
    run,
    runtime_of,
)
from gateway.domain.search import FusionMethod, Hit, Pass
from gateway.errors import InvalidFilter
from gateway.retrieval.explanation import Explanation, SearchResult, StageTrace
from gateway.retrieval.options import SearchOptions, group_of
from gateway.retrieval.query import GroupScore, Mode, OnFailure

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
    probability: Annotated[
        float | None,
        typer.Option(help="Lowest probability to return, 0-1, of a calibrated collection."),
    ] = None,
    mode: Annotated[
        Mode,
        typer.Option(help="By meaning, by words, or both; auto: both where words are indexed."),
    ] = Mode.AUTO,
    coarse: Annotated[
        bool | None,
        typer.Option("--coarse/--no-coarse", help="Look through short vectors first."),
    ] = None,
    coarse_size: Annotated[
        int | None, typer.Option(help="The same, and the size that short vectors must have.")
    ] = None,
    fusion: Annotated[
        FusionMethod, typer.Option(help="How the two halves of a hybrid search are ranked.")
    ] = FusionMethod.RRF,
    weights: Annotated[
        tuple[float, float], typer.Option(help="Weights of meaning and of words (rrf only).")
    ] = (1.0, 1.0),
    rrf_k: Annotated[
        int | None,
        typer.Option("--rrf-k", help="Rank constant of rrf, and of --also; 60 by default."),
    ] = None,
    candidates: Annotated[
        int, typer.Option(help="Hits of each half that are fused, and that --mmr chooses among.")
    ] = 100,
    rerank: Annotated[
        bool | None,
        typer.Option("--rerank/--no-rerank", help="Read the best hits again by the reranker."),
    ] = None,
    rerank_candidates: Annotated[
        int | None, typer.Option(help="Hits to read again; default: rerank.candidates.")
    ] = None,
    rerank_on_failure: Annotated[
        OnFailure | None,
        typer.Option(help="When the reranker fails: fail, or go on without it and say so."),
    ] = None,
    mmr: Annotated[
        float | None,
        typer.Option(help="Diversity: 1 is relevance alone, 0 is diversity alone."),
    ] = None,
    by_document: Annotated[
        bool, typer.Option("--by-document", help="Best chunk of each document only.")
    ] = False,
    group_score: Annotated[
        GroupScore, typer.Option(help="What a document is worth, with --by-document.")
    ] = GroupScore.BEST,
    group_size: Annotated[
        int, typer.Option(help="Most hits of one document, with --by-document.")
    ] = 1,
    neighbours: Annotated[int, typer.Option(help="Chunks to show before and after each hit.")] = 0,
    also: Annotated[
        list[str] | None, typer.Option("--also", help="Another wording of the query; repeat it.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Use no index at all.")] = False,
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

      gateway search "error E1234" -c logs --mode lexical --explain

      gateway search "late invoices" -c mail --filter '{"eq": {"metadata.year": 2025}}' --json

      gateway search "how to renew" -c docs --by-document --mmr 0.6 --neighbours 1
    """

    async def main() -> SearchResult:
        settings = read_settings(config, assignments)
        options = SearchOptions(
            task=task,
            limit=limit,
            offset=offset,
            where=None if where is None else parse_filter(_json(where)),
            score_threshold=threshold,
            probability_threshold=probability,
            mode=mode,
            coarse=coarse_of(coarse, coarse_size),
            fusion=fusion_of(fusion, weights, rrf_k, mode=mode, several=bool(also)),
            candidates=candidates,
            rerank=rerank_of(rerank, rerank_candidates, rerank_on_failure, settings),
            mmr=mmr,
            group=group_of(group_score, group_size, by_document=by_document),
            neighbours=neighbours,
            exact=exact,
            explain=explain,
            allow_prompted=allow_prompted,
            truncate=truncate,
        )
        async with runtime_of(settings) as runtime:
            return await runtime.retriever.search(collection, [query, *(also or [])], options)

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
        _print_hit(rank, hit, explain=explain)
    if explain:
        _print_explained(result.explanation)


def _print_explained(how: Explanation) -> None:
    facts = [f"mode {how.mode}", f"task {how.task}"]
    if how.prompt is not None:
        facts += [f"prompt {how.prompt!r}", f"{how.tokens} tokens"]
    facts += [f"size {how.size}", f"space {how.space}"]
    if how.fusion is not None:
        facts.append(f"fusion {how.fusion.method.value} k={how.fusion.k} {how.fusion.weights}")
    if how.coarse_size is not None:
        facts.append(f"first pass over {how.coarse_size} x{how.coarse_oversampling:g}")
    if how.reranker is not None:
        facts.append(f"reranked by {how.reranker}")
    out.print(", ".join(facts), markup=False)
    table = Table("stage", "in", "out", "ms", box=None)
    if how.prompt is not None:
        table.add_row("embed", "", "", f"{how.embed_seconds * 1000:.1f}")
    for stage in how.stages:
        table.add_row(f"{stage.stage} (skipped)" if stage.skipped else stage.stage, *_cost(stage))
        for each in stage.passes:
            table.add_row(f"  {each.stage}", *_cost(each), style="dim")
    print_table(table)
    out.print(f"trace {how.trace_id}", markup=False, style="dim")


def _cost(what: StageTrace | Pass) -> tuple[str, str, str]:
    """Return hits in, hits out and milliseconds; a look through all chunks is given none."""
    given = str(what.candidates) if what.candidates else ""
    return given, str(what.hits), f"{what.seconds * 1000:.1f}"


def _print_hit(rank: int, hit: Hit, *, explain: bool) -> None:
    chunk = hit.chunk
    where = " > ".join(chunk.heading_path) or chunk.title or ""
    out.print(f"[bold]{rank}.[/] [green]{hit.score:.4f}[/]  [cyan]", end="")
    out.print(chunk.document_id, markup=False, style="cyan", end="  ")
    out.print(where, markup=False, style="dim", end="")
    sure = "" if hit.probability is None else f"  relevant with probability {hit.probability:.2f}"
    out.print(sure, markup=False)
    for beside in hit.neighbours:
        if beside.index < chunk.index:
            out.print(f"   ... {_snippet(beside.text)}", markup=False, style="dim")
    out.print(f"   {_snippet(chunk.text)}", markup=False)
    for beside in hit.neighbours:
        if beside.index > chunk.index:
            out.print(f"   ... {_snippet(beside.text)}", markup=False, style="dim")
    if explain:
        told = ", ".join(f"{s.stage} #{s.rank} {s.score:.4f}" for s in hit.stages)
        out.print(f"   {told}", markup=False, style="dim")


def _snippet(text: str) -> str:
    joined = " ".join(text.split())
    return joined if len(joined) <= SNIPPET else joined[:SNIPPET].rsplit(" ", 1)[0] + " ..."
