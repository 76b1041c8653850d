"""`gateway eval`."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli._ending import ending
from gateway.cli._eval_output import Bar, conclude
from gateway.cli._eval_reading import assignments_of, gate_of, lexical_of, stages_of
from gateway.cli.common import (
    Config,
    Golden,
    Json,
    Set,
    never_a_verdict,
    read_settings,
    run_for_verdict,
)
from gateway.domain.collections import Quantization
from gateway.domain.lexical import Lexical
from gateway.embedding.profile import Task
from gateway.evaluation.gate import MAX_DROP, Gate
from gateway.evaluation.opening import Asked, Outcome, evaluate_configured
from gateway.evaluation.plan import ALL_STAGES, DEPTH, MMR, STAGES, SWEPT, Plan
from gateway.evaluation.scratch import left_of
from gateway.observability.logs import configure_logs

_BM25 = Lexical()
_INDEX = "What is searched"
_GATE = "Choosing and gating"


def evaluate(
    dataset: Golden,
    split: Annotated[
        str | None, typer.Option(help="Judgments to use: qrels/SPLIT.tsv \\[default: test].")
    ] = None,
    stages: Annotated[
        str | None,
        typer.Option(
            help=f"Stages to run, comma separated: {', '.join(ALL_STAGES)} "
            f"\\[default: {','.join(STAGES)}]."
        ),
    ] = None,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Run the last stage with the reranker behind as well.")
    ] = False,
    mmr: Annotated[
        float | None,
        typer.Option(
            metavar="LAMBDA",
            help="Run the last stage with MMR behind as well; 1: relevance alone.",
        ),
    ] = None,
    limit_queries: Annotated[
        int | None, typer.Option(metavar="N", help="Measure the first N queries only.")
    ] = None,
    top: Annotated[int, typer.Option(help="Documents kept of a ranking.")] = DEPTH,
    task: Annotated[
        str, typer.Option(help="Task of the queries: query, question_answering, ...")
    ] = Task.QUERY.value,
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection",
            "-c",
            help="Search this collection of yours instead of indexing the set's corpus.",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    size: Annotated[
        list[int] | None,
        typer.Option(
            help="Vector size to index at; give it again for more.", rich_help_panel=_INDEX
        ),
    ] = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            help="Embed every document as one text, cut at the model's limit, as publishers do.",
            rich_help_panel=_INDEX,
        ),
    ] = False,
    language: Annotated[
        str | None,
        typer.Option(
            help="Language of stop words and stemmer \\[default: collections.language].",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    k1: Annotated[
        float | None,
        typer.Option(
            "--k1",
            help=f"BM25: how much more a repeated word is worth \\[default: {_BM25.k1:g}].",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    b: Annotated[
        float | None,
        typer.Option(
            "--b",
            help=f"BM25: how much a long chunk is marked down, 0-1 \\[default: {_BM25.b:g}].",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    average_words: Annotated[
        float | None,
        typer.Option(
            help=f"Words of an average chunk, for BM25 \\[default: {_BM25.average_words:g}].",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where vectors are kept, so that a run goes on where another ended "
            "\\[default: as cache.kind says, else evaluation/ under data_dir].",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    coarse: Annotated[
        int | None,
        typer.Option(
            metavar="SIZE",
            help="Search short vectors of this size first; compare with the stage exact.",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    quantization: Annotated[
        list[Quantization] | None,
        typer.Option(
            help="Index and quantise the set as a large collection would be; again for more kinds.",
            rich_help_panel=_INDEX,
        ),
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help=f"Every size of the model by {', '.join(SWEPT)}; recommends one.",
            rich_help_panel=_GATE,
        ),
    ] = False,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE[,KEY=VALUE]",
            help="The same under other settings beside, such as encoder=local,local.dtype=bfloat16.",
            rich_help_panel=_GATE,
        ),
    ] = None,
    max_bytes_per_chunk: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            help="Budget of the recommendation: bytes of vectors and words that a search looks through.",
            rich_help_panel=_GATE,
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="An earlier --json: exit with 1 when a measure fell, with 2 when one is missing.",
            rich_help_panel=_GATE,
        ),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="How much a measure may fall below the baseline, or nDCG@10 below the best of a sweep "
            f"\\[default: {MAX_DROP:g}].",
            rich_help_panel=_GATE,
        ),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit scores to probabilities of relevance; kept with --collection.",
            rich_help_panel=_GATE,
        ),
    ] = False,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write report.json, report.md, report.html and TREC run files there.",
        ),
    ] = None,
    as_json: Json = False,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Measure how well a search finds what judged queries should find.

    Indexes the set into a scratch store (your collections are not touched), searches it by every
    stage, and prints nDCG@10, recall, MRR and MAP with 95 % intervals. Needs the extra `eval`.

    Exit codes: 0 measured, 1 worse than the baseline, 2 could not be measured, compared or written.

    Examples:

      gateway eval ./scifact

      gateway eval ./my-set --collection docs --json > baseline.json

      gateway eval ./my-set --collection docs --baseline baseline.json --max-drop 0.01

      gateway eval ./my-set --collection docs --calibrate

      gateway eval ./my-set --sweep --max-bytes-per-chunk 1024 --run-dir sweep/
    """
    named = stages_of(stages, rerank=rerank, mmr=mmr is not None)

    async def main() -> tuple[Outcome, Gate | None]:
        asked_for = None if stages is None else named
        gate = gate_of(baseline, max_drop, stages=asked_for, folder=run_dir)
        settings = read_settings(config, assignments)
        configure_logs("warning" if settings.log.level == "info" else settings.log.level, "console")
        plan = Plan(
            stages=named,
            mmr=MMR if mmr is None else mmr,
            sizes=tuple(dict.fromkeys(size or ())),
            quantizations=tuple(dict.fromkeys(quantization or ())),
            coarse=coarse,
            depth=top,
            whole=whole,
            lexical=lexical_of(
                settings.collections.language,
                language=language,
                k1=k1,
                b=b,
                average_words=average_words,
            ),
            task=task,
            collection=collection,
            sweep=sweep,
            max_drop=max_drop,
            max_bytes_per_chunk=max_bytes_per_chunk,
            calibrate=calibrate,
        )
        with ending(left_of(settings, cache)), Bar() as bar:
            outcome = await evaluate_configured(
                settings,
                Asked(dataset, split, limit_queries, gate, run_dir),
                plan,
                cache=cache,
                progress=bar,
                variants={
                    each: read_settings(config, [*(assignments or []), *assignments_of(each)])
                    for each in variant or ()
                },
            )
        return outcome, gate

    outcome, gate = run_for_verdict(main)
    with never_a_verdict():
        code = conclude(outcome, gate, run_dir, as_json=as_json)
    if code:
        raise typer.Exit(code)
