"""`gateway embed`."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from gateway.cli.common import (
    AllowPrompted,
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
from gateway.embedding.results import Embeddings
from gateway.embedding.texts import Input


def embed(
    texts: Annotated[list[str], typer.Argument(help="Texts; '-' reads one per line from stdin.")],
    task: Annotated[str, typer.Option(help="What the vector is for: query, document, ...")],
    title: Annotated[str | None, typer.Option(help="Title, for documents.")] = None,
    size: Annotated[int | None, typer.Option(help="Vector size; the profile's default.")] = None,
    allow_prompted: AllowPrompted = False,
    truncate: Truncate = False,
    as_json: Json = False,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Embed texts and print their unit vectors.

    Query or document is never guessed: say it with --task.

    Examples:

      gateway embed "who wrote it?" --task query --json

      cat lines.txt | gateway embed - --task document --size 256 --json
    """
    inputs = [Input(text, title) for text in _read(texts)]

    async def main() -> tuple[Embeddings, str]:
        async with runtime_of(read_settings(config, assignments)) as runtime:
            embedded = await runtime.embedder.embed(
                task, inputs, size=size, allow_prompted=allow_prompted, truncate=truncate
            )
            return embedded, runtime.embedder.space

    embedded, space = run(main)
    if as_json:
        print_json(_facts(task, space, embedded))
    else:
        _print(space, embedded)


def _facts(task: str, space: str, embedded: Embeddings) -> dict[str, object]:
    return {
        "space": space,
        "task": task,
        "tokens": embedded.tokens,
        "truncated": [asdict(cut) for cut in embedded.truncated],
        "vectors": embedded.vectors.tolist(),
    }


def _print(space: str, embedded: Embeddings) -> None:
    for cut in embedded.truncated:
        err.print(
            f"warning: input {cut.index} was cut: {cut.tokens} tokens read, {cut.lost} lost",
            markup=False,
        )
    out.print(f"space {space}, {embedded.tokens} tokens", markup=False)
    rows: Sequence[Sequence[float]] = embedded.vectors.tolist()
    for row in rows:
        head = ", ".join(f"{value:.4f}" for value in row[:6])
        out.print(f"[{head}, ...] ({len(row)} numbers)", markup=False)


def _read(texts: list[str]) -> list[str]:
    if texts == ["-"]:
        return [line.rstrip("\r\n") for line in sys.stdin]
    return texts
