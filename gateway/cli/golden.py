"""`gateway golden`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

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
from gateway.evaluation.making import write_questions
from gateway.evaluation.qrels import holds
from gateway.evaluation.sampling import Pool, chunks_to_ask
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
    queries: Annotated[
        int, typer.Option(help="Questions that the set has in the end.", min=1)
    ] = 50,
    judge: Annotated[
        int, typer.Option(help="Also show the first N documents found, to be judged.", min=0)
    ] = 0,
    by_hand: Annotated[
        bool, typer.Option("--by-hand", help="Ask yourself, although a language model is set.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the order of chunks; default: the same as before, or 0."),
    ] = None,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Make a golden set of a collection: chunks are sampled, and a question is written for each.

    The language model of the settings (llm.url, llm.model) writes the questions; without one you do,
    here. Every answer is written at once: end it at any time, and the same command goes on, also with
    more --queries.

    Examples:

      gateway golden new -c docs --out golden/ --queries 50

      gateway golden new -c docs --out golden/ --by-hand --judge 5

      gateway eval golden/ --collection docs
    """

    async def main() -> Draft:
        settings = read_settings(config, assignments)
        draft = Draft(folder, collection, seed)
        generator = None if by_hand else open_generator(settings)
        async with AsyncExitStack() as stack:
            if generator is not None:
                stack.push_async_callback(generator.aclose)
            runtime = await stack.enter_async_context(runtime_of(settings))
            await runtime.collections.open(collection)
            pool = Pool(runtime.store, collection, seed=draft.seed, warn=warn)
            chunks = await stack.enter_async_context(aclosing(chunks_to_ask(pool, draft, queries)))
            if generator is not None:
                await _by_model(generator, chunks, draft, queries)
            else:
                await _by_hand(runtime, chunks, draft, queries, judge)
            if pool.exhausted:
                warn(f"collection {collection!r} has no other chunk to ask about")
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


async def _by_model(
    generator: Generator, chunks: AsyncIterator[StoredChunk], draft: Draft, want: int
) -> None:
    async with aclosing(write_questions(generator, chunks, draft)) as asked:
        async for stored, question in asked:
            err.print(f"{len(draft)}/{want} ", end="", style="dim")
            told = question or "the answer has no question; another chunk takes its place"
            err.print(f"{stored.chunk.document_id}: {told}", markup=False)


async def _by_hand(
    runtime: Runtime, chunks: AsyncIterator[StoredChunk], draft: Draft, want: int, judge: int
) -> None:
    """Ask whoever sits there; an empty answer skips a chunk, `q` ends."""
    async for stored in chunks:
        chunk = stored.chunk
        out.rule(Text(f"{len(draft) + 1} of {want}: {chunk.document_id}"))
        out.print(chunk.text[:SHOWN], markup=False)
        question = await ask(_asked)
        if question.strip() == QUIT:
            return
        if not question.strip():
            draft.skip(stored)
            continue
        grades = await _judged(runtime, draft.collection, stored, question, judge)
        draft.add(stored, question, grades)


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
