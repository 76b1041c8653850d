"""`gateway golden`."""

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gateway.bootstrap import Runtime
from gateway.cli.common import (
    FAILED,
    Collection,
    Config,
    Golden,
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
from gateway.errors import InvalidRequest
from gateway.evaluation.draft import Draft
from gateway.evaluation.golden import GoldenSet
from gateway.evaluation.making import write_questions
from gateway.evaluation.qrels import holds
from gateway.evaluation.sampling import Pool, chunks_to_ask
from gateway.evaluation.told import repeated_queries
from gateway.ports import Generator
from gateway.retrieval.options import SearchOptions
from gateway.retrieval.query import Group
from gateway.settings import Settings
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
    """Make a golden set of a collection: a question for each of a sample of chunks.

    The language model of the settings (llm.url, llm.model) writes the questions;
    without one, or with --by-hand, you do. Every answer is written at once: end
    it at any time, and the same command goes on, also with more --queries.

    Examples:

      gateway golden new -c docs --out golden/ --queries 50

      gateway golden new -c docs --out golden/ --by-hand --judge 5

      gateway eval golden/ --collection docs
    """

    async def main() -> Draft:
        settings = read_settings(config, assignments)
        draft = Draft(folder, collection, seed)
        if len(draft) < queries:
            generator = None if by_hand else open_generator(settings)
            await _add_questions(settings, generator, draft, queries, judge)
        else:
            err.print("it has as many already: a larger --queries asks for more")
        return draft

    try:
        made = run(main)
    except typer.Abort:
        err.print("the input ended; what was answered is kept")
        raise typer.Exit(FAILED) from None
    out.print(f"{_counted(len(made))} in {str(folder)!r}", markup=False)
    if len(made):
        measured = shlex.join(["gateway", "eval", str(folder), "--collection", collection])
        out.print(f"measure with them: {measured}", markup=False)


@app.command("check")
def check(
    folder: Golden,
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
        "repeated": len(found.repeated),
        "documents": found.documents,
        "empty": found.empty,
        "spans": sum(map(len, found.spans.values())),
        "sha256": found.sha256,
    }
    if told := repeated_queries(found):
        warn(told)
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        shown = "no corpus.jsonl: judgments of a collection" if value is None else value
        out.print(Text.assemble((key, "bold"), f": {shown}"))


async def _add_questions(
    settings: Settings, generator: Generator | None, draft: Draft, want: int, judge: int
) -> None:
    """Add questions, by the model where there is one, until there are as many as wanted."""
    async with AsyncExitStack() as stack:
        if generator is not None:
            stack.push_async_callback(generator.aclose)
            if judge:
                raise InvalidRequest(
                    "a language model does not judge: add --by-hand, or omit --judge"
                )
        runtime = await stack.enter_async_context(runtime_of(settings))
        await runtime.collections.open(draft.collection)
        pool = Pool(runtime.store, draft.collection, seed=draft.seed, warn=warn)
        chunks = await stack.enter_async_context(aclosing(chunks_to_ask(pool, draft, want)))
        if generator is not None:
            await _by_model(generator, chunks, draft, want)
        else:
            await _by_hand(runtime, chunks, draft, want, judge)
        if pool.exhausted:
            warn(f"collection {draft.collection!r} has no other chunk to ask about")


async def _by_model(
    generator: Generator, chunks: AsyncIterator[StoredChunk], draft: Draft, want: int
) -> None:
    err.print(f"asking {generator.model_id!r} for {_counted(want - len(draft))}", markup=False)
    async with aclosing(write_questions(generator, chunks, draft)) as asked:
        async for stored, question in asked:
            err.print(f"{len(draft)}/{want} ", end="", style="dim")
            told = question or "no new question in the answer; another chunk takes its place"
            err.print(f"{stored.chunk.document_id}: {told}", markup=False)


async def _by_hand(
    runtime: Runtime, chunks: AsyncIterator[StoredChunk], draft: Draft, want: int, judge: int
) -> None:
    """Ask whoever sits there; an empty answer skips a chunk, `q` ends."""
    async for stored in chunks:
        chunk = stored.chunk
        out.rule(Text(f"{len(draft) + 1} of {want}: {chunk.document_id}"))
        out.print(_shown(chunk.text, SHOWN), markup=False)
        question = await _question(draft)
        if question == QUIT:
            return
        if question == SKIP:
            draft.skip(stored)
            continue
        draft.add(stored, question)
        if judge:
            await _judge(runtime, draft, stored, question, judge)


async def _question(draft: Draft) -> str:
    """Ask until the answer is a question that is not there yet, or a word for us."""
    while True:
        answer = (await ask(_asked)).strip()
        if answer.lower() in {SKIP, QUIT}:
            return answer.lower()
        try:
            return draft.require_new(answer)
        except InvalidRequest as exc:
            err.print(str(exc), markup=False)


async def _judge(
    runtime: Runtime, draft: Draft, stored: StoredChunk, question: str, count: int
) -> None:
    """Ask of the first documents found whether they answer the question as well.

    Those whose ids judgments cannot hold are left out, and told.
    """
    options = SearchOptions(limit=count, group=Group(), allow_prompted=True, truncate=True)
    found = await runtime.retriever.search(draft.collection, question, options)
    number = 0
    for hit in found.hits:
        if hit.chunk.document_id == stored.chunk.document_id:
            continue
        if not holds(hit.chunk.document_id):
            warn(f"left out: judgments cannot hold the document id {hit.chunk.document_id!r}")
            continue
        number += 1
        out.print(f"{number} {hit.chunk.document_id}", markup=False, style="cyan")
        out.print(_shown(hit.chunk.text, SHOWN // 2), markup=False)
        draft.grade(stored, hit.chunk.document_id, int(await ask(_confirmed)))


def _shown(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} [...]"


def _counted(count: int) -> str:
    return "1 question" if count == 1 else f"{count} questions"


def _asked() -> str:
    told = "question that this answers (empty: skip, q: end)"
    return str(typer.prompt(told, default=SKIP, show_default=False))


def _confirmed() -> bool:
    return typer.confirm("does this answer it too?")
