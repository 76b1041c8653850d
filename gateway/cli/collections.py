"""`gateway collections`."""

from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.cli.common import (
    Config,
    Json,
    Set,
    fail,
    out,
    print_json,
    read_settings,
    run,
    runtime_of,
)
from gateway.domain.collections import CollectionInfo
from gateway.errors import InvalidRequest

app = typer.Typer(no_args_is_help=True, help="List, show and delete collections.")
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
    out.print(table)


@app.command("show")
def show(name: Name, as_json: Json = False, config: Config = None, assignments: Set = None) -> None:
    """Show one collection: its model, space, size, chunks and filter fields.

    Example: gateway collections show demo
    """

    async def main() -> CollectionInfo:
        async with runtime_of(read_settings(config, assignments)) as runtime:
            return await runtime.collections.describe(name)

    facts = _facts(run(main))
    if as_json:
        print_json(facts)
        return
    for key, value in facts.items():
        out.print(f"[bold]{key}[/]: {value}")


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
    }
