"""`gateway collections`."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal, cast

import typer
from rich.table import Table

from gateway.cli.common import (
    Config,
    Json,
    Set,
    fail,
    out,
    print_json,
    print_table,
    read_settings,
    run,
    runtime_of,
)
from gateway.cli.ingest import parse_fields
from gateway.domain.collections import CollectionInfo
from gateway.domain.lexical import Lexical
from gateway.errors import InvalidRequest
from gateway.retrieval.collections import UNSET, Unset
from gateway.settings import Settings
from gateway.wiring.consistency import weighing

app = typer.Typer(no_args_is_help=True, help="List, show, make, tune and delete collections.")
Name = Annotated[str, typer.Argument(help="Name of the collection.")]


@app.command("list")
def list_collections(as_json: Json = False, config: Config = None, assignments: Set = None) -> None:
    """List the collections in the store.

    Example: gateway collections list --json
    """

    async def main() -> list[CollectionInfo]:
        async with runtime_of(read_settings(config, assignments)) as runtime:
            return await runtime.collections.list()

    found = run(main)
    if as_json:
        print_json([_facts(info) for info in found])
        return
    if not found:
        out.print("no collection yet; make one: gateway ingest docs --collection NAME")
        return
    table = Table("collection", "chunks", "size", "space", box=None)
    for info in found:
        table.add_row(info.spec.name, str(info.chunks), str(info.spec.size), info.spec.space)
    print_table(table)


@app.command("show")
def show(name: Name, as_json: Json = False, config: Config = None, assignments: Set = None) -> None:
    """Show one collection: its model, space, size, chunks and filter fields.

    Example: gateway collections show demo
    """

    async def main() -> CollectionInfo:
        async with runtime_of(read_settings(config, assignments)) as runtime:
            return await runtime.collections.describe(name)

    _tell(_facts(run(main)), as_json=as_json)


@app.command("create")
def create(
    name: Name,
    size: Annotated[int | None, typer.Option(help="Length of the stored vectors.")] = None,
    coarse: Annotated[
        int | None, typer.Option(help="Size of short vectors beside, for a first pass.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="Stop words and stemmer: english, russian, ...; auto: by script."),
    ] = None,
    lexical: Annotated[
        bool | None, typer.Option("--lexical/--no-lexical", help="Index the words of chunks.")
    ] = None,
    k1: Annotated[
        float | None, typer.Option("--k1", help="What repeating a word is worth: 0-10, usual 1.2.")
    ] = None,
    b: Annotated[
        float | None,
        typer.Option("--b", help="What the length of a chunk is worth: 0-1, usual 0.75."),
    ] = None,
    average_words: Annotated[
        float | None, typer.Option(help="Words of an average chunk, without stop words; usual 100.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            help="Metadata field to filter by, as NAME:TYPE; repeat it. Types: keyword, "
            "integer, float, bool, datetime.",
        ),
    ] = None,
    as_json: Json = False,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Make a collection with choices of its own; `gateway ingest` makes one with the defaults.

    Examples:

      gateway collections create docs --size 768 --coarse 128

      gateway collections create mail --language russian --field year:integer

      gateway collections create tickets --k1 0.9 --b 0.4 --average-words 40
    """
    weighed = {"language": language, "k1": k1, "b": b, "average_words": average_words}

    async def main() -> CollectionInfo:
        fields = parse_fields(field or [])
        settings = read_settings(config, assignments)
        words = lexical_of(lexical, weighed, settings)
        async with runtime_of(settings) as runtime:
            await runtime.collections.create(
                name,
                size=size,
                filter_fields=fields,
                lexical=words,
                coarse=coarse,
            )
            return await runtime.collections.describe(name)

    _tell(_facts(run(main)), as_json=as_json)


@app.command("delete")
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: Config = None,
    assignments: Set = None,
    as_json: Json = False,
) -> None:
    """Delete a collection and all its chunks.

    Example: gateway collections delete demo --yes
    """
    if not yes:
        if as_json:
            fail(InvalidRequest("deleting with --json needs --yes"))
        typer.confirm(f"Delete collection {name!r} and all its chunks?", abort=True)

    async def main() -> None:
        async with runtime_of(read_settings(config, assignments)) as runtime:
            await runtime.collections.drop(name)

    run(main)
    if as_json:
        print_json({"deleted": name})
    else:
        out.print(f"deleted {name!r}", markup=False)


def lexical_of(
    indexed: bool | None, weighed: Mapping[str, Any], settings: Settings
) -> Lexical | Unset | Literal[True] | None:
    """Return how words are weighed; what is not said is as the settings say.

    Raises:
        InvalidRequest: weights of words that are not indexed, or out of range.
    """
    chosen = {name: value for name, value in weighed.items() if value is not None}
    if indexed is False:
        if chosen:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in chosen)
            raise InvalidRequest(
                f"--no-lexical indexes no words, so {options} would weigh none: leave one or the "
                "other out",
                field="lexical",
            )
        return None
    if chosen:
        return replace(weighing(settings), **chosen)
    return True if indexed else UNSET


def _tell(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        out.print(f"[bold]{key}[/]: ", end="")
        out.print(_line(value), markup=False)


def _line(value: Any) -> str:
    """Return a fact on one line: words for what is not there, `key value` for what has parts."""
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, Any]", value)
        return ", ".join(f"{key} {each}" for key, each in parts.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[Any]", value))) or "none"
    return "none" if value is None else str(value)


def _facts(info: CollectionInfo) -> dict[str, Any]:
    spec = info.spec
    return {
        "name": spec.name,
        "profile": spec.profile,
        "space": spec.space,
        "size": spec.size,
        "distance": "dot",
        "chunks": info.chunks,
        "filter_fields": {key: kind.value for key, kind in spec.filter_fields.items()},
        "lexical": None if spec.lexical is None else asdict(spec.lexical),
        "coarse": spec.coarse,
        "tuning": {**asdict(spec.tuning), "quantization": spec.tuning.quantization.value},
        "calibrated": list(spec.calibrations),
    }
