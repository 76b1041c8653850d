"""`gateway config`: the settings in force, and where each comes from."""

from typing import Annotated, Any

import typer
from pydantic import SecretStr
from rich.table import Table

from gateway.cli.common import Config, Json, Set, fail, out, print_json, print_table, read_settings
from gateway.errors import GatewayError
from gateway.settings import Layer, Settings, known_paths, layers, variable_name
from gateway.wiring.consistency import require_consistent

app = typer.Typer(no_args_is_help=True, help="Show or check the settings in force.")


@app.command("show")
def show(
    redact: Annotated[
        bool, typer.Option("--redact/--no-redact", help="Hide secrets (the default).")
    ] = True,
    as_json: Json = False,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Print every setting with its value, its source and its environment variable.

    Example: gateway config show --json
    """
    settings = _load(config, assignments)
    sources = _sources(config, assignments)
    rows = {path: (_value(settings, path, redact), sources[path]) for path in known_paths()}
    if as_json:
        print_json({path: {"value": v, "source": s} for path, (v, s) in rows.items()})
        return
    table = Table("setting", "value", "source", "variable", box=None)
    for path, (value, source) in rows.items():
        table.add_row(path, "" if value is None else str(value), source, variable_name(path))
    print_table(table)


@app.command("check")
def check(as_json: Json = False, config: Config = None, assignments: Set = None) -> None:
    """Check the settings and exit: 0 usable, 2 not (the message names the setting).

    Example: gateway config check --config gateway.toml
    """
    settings = _load(config, assignments)
    try:
        require_consistent(settings)
    except GatewayError as exc:
        fail(exc)
    found = {
        "ok": True,
        "profile": settings.profile_name,
        "encoder": settings.encoder_kind,
        "store": settings.store_kind,
    }
    if as_json:
        print_json(found)
        return
    out.print(f"settings are usable: {found['profile']} by {found['encoder']}, in {found['store']}")


def _load(config: Config, assignments: Set) -> Settings:
    try:
        return read_settings(config, assignments)
    except GatewayError as exc:
        fail(exc)


def _sources(config: Config, assignments: Set) -> dict[str, str]:
    flags = {item.partition("=")[0].strip() for item in assignments or []}
    found = layers({}, config_file=config)
    sources = dict.fromkeys(known_paths(), "default")
    for path in sources:
        for name, layer in found:
            if _has(layer, path.split(".")):
                sources[path] = name
        if path in flags:
            sources[path] = "flag"
    return sources


def _has(layer: Layer, path: list[str]) -> bool:
    value: Any = layer
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]  # pyright: ignore[reportUnknownVariableType]
    return True


def _value(settings: Settings, path: str, redact: bool) -> Any:
    value: Any = settings
    for key in path.split("."):
        value = getattr(value, key)
    if isinstance(value, tuple):
        return [_plain(item, redact) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return _plain(value, redact)


def _plain(value: Any, redact: bool) -> Any:
    if isinstance(value, SecretStr):
        return "********" if redact else value.get_secret_value()
    return value if isinstance(value, str | int | float | bool | None) else str(value)
