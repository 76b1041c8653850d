"""`gateway golden`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway.bootstrap import Runtime
from gateway.cli.common import (
    Collection,
    Config,
    Json,
    Set,
    ask,
    err,
    out,
    print_json,
    read_settings,
    run,
    runtime_of,
    warn,
)
from gateway.domain.documents import StoredChunk
from gateway.evaluation.draft import Draft
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.making import sample_chunks, write_questions
from gateway.evaluation.qrels import holds
from gateway.ports import Generator
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.query import Group
from gateway.wiring.models import open_generator

app = typer.Typer(no_args_is_help=True, help="Make and check golden sets: judged queries.")
SHOWN = 1_200
"""Characters of a chunk that are shown to whoever asks about it."""
SKIP, QUIT = "", "q"


@app.command("new")
def new(
    collection: Collection,
    folder: Annotated[Path, typer.Option("--out", "-o", help="Folder of the golden set.")],
    queries: Annotated[int, typer.Option(help="How many chunks to ask about.", min=1)] = 50,
    judge: Annotated[
        int, typer.Option(help="Also show the first N documents found, to be judged.", min=0)
    ] = 0,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="Ask yourself, although a language model is set.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Make a golden set of a collection: chunks are sampled, and a question is written for each.

    The language model of the settings (llm.url, llm.model) writes the questions; without one you do,
    here. Every answer is written at once: end it at any time, and the same command goes on.

    Examples:

      gateway golden new -c docs --out golden/ --queries 50

      gateway golden new -c docs --out golden/ --by-hand --judge 5

      gateway eval golden/ --collection docs
    """

    async def main() -> Draft:
        settings = read_settings(config, assignments)
        generator = None if by_hand else open_generator(settings)
        draft = Draft(folder)
        async with runtime_of(settings) as runtime:
            await runtime.collections.open(collection)
            sample = await sample_chunks(runtime.store, collection, queries, seed=seed)
            if sample.warning:
                warn(sample.warning)
            draft.make()
            left = draft.open(sample.chunks)
            if generator is not None:
                await _by_model(generator, left, draft)
            else:
                await _by_hand(runtime, collection, left, draft, judge)
        return draft

    made = run(main)
    out.print(f"{len(made)} questions in {str(folder)!r}", markup=False)
    out.print(f"measure with them: gateway eval {folder} --collection {collection}", markup=False)


@app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(help="Golden set in BEIR layout: a folder or a .zip.")],
    split: Annotated[str | None, typer.Option(help="Judgments to look at.")] = None,
    as_json: Json = False,
) -> None:
    """Read a golden set and say what is in it, or where it is wrong.

    Example: gateway golden check golden/
    """

    async def main() -> GoldenSet:
        return await asyncio.to_thread(GoldenSet.load, folder, split=split)

    found = run(main)
    facts = {
        "name": found.name,
        "split": found.split,
        "queries": len(found.queries),
        "judgments": found.judgments,
        "graded": found.graded,
        "unjudged": len(found.unjudged),
        "hopeless": len(found.hopeless),
        "documents": found.documents,
        "empty": found.empty,
        "spans": sum(map(len, found.spans.values())),
        "sha256": found.sha256,
    }
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        out.print(f"[bold]{key}[/]: {value}")


async def _by_model(generator: Generator, chunks: Sequence[StoredChunk], draft: Draft) -> None:
    done = 0
    try:
        async for stored, question in write_questions(generator, chunks, draft):
            done += 1
            err.print(f"{done}/{len(chunks)} ", end="", style="dim")
            err.print(f"{stored.chunk.document_id}: {question}", markup=False)
    finally:
        await generator.aclose()


async def _by_hand(
    runtime: Runtime, collection: str, chunks: Sequence[StoredChunk], draft: Draft, judge: int
) -> None:
    """Ask whoever sits there; an empty answer skips a chunk, `q` ends."""
    for number, stored in enumerate(chunks, start=1):
        chunk = stored.chunk
        out.rule(f"{number} of {len(chunks)}: {chunk.document_id}")
        out.print(chunk.text[:SHOWN], markup=False)
        question = await ask(_asked)
        if question.strip() == QUIT:
            return
        if not question.strip():
            draft.skip(stored)
            continue
        draft.add(stored, question, await _judged(runtime, collection, stored, question, judge))


async def _judged(
    runtime: Runtime, collection: str, stored: StoredChunk, question: str, count: int
) -> dict[str, int]:
    """Ask of the first documents found whether they answer the question as well.

    Those whose ids judgments cannot hold are left out, and told.
    """
    if not count:
        return {}
    options = SearchOptions(limit=count, group=Group(), allow_prompted=True, truncate=True)
    grades: dict[str, int] = {}
    for hit in (await runtime.retriever.search(collection, question, options)).hits:
        if hit.chunk.document_id == stored.chunk.document_id:
            continue
        if not holds(hit.chunk.document_id):
            warn(f"left out: judgments cannot hold the document id {hit.chunk.document_id!r}")
            continue
        out.print(f"[cyan]{len(grades) + 1}[/] ", end="")
        out.print(hit.chunk.document_id, markup=False, style="cyan")
        out.print(hit.chunk.text[: SHOWN // 2], markup=False)
        grades[hit.chunk.document_id] = int(await ask(_confirmed))
    return grades


def _asked() -> str:
    told = "question that this answers (empty: skip, q: end)"
    return str(typer.prompt(told, default=SKIP, show_default=False))


def _confirmed() -> bool:
    return typer.confirm("does this answer it too?")
