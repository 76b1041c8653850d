"""`gateway profile`: the models this gateway knows."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from gateway.cli.common import Config, Json, Set, fail, out, print_json, print_table, read_settings
from gateway.embedding.catalog import ALL_MINILM_L6_V2, CATALOG, find_profile, load_profiles
from gateway.embedding.fingerprint import ingredients, prompt_set
from gateway.embedding.profile import ModelProfile
from gateway.errors import GatewayError
from gateway.settings import Settings
from gateway.wiring.consistency import served_space
from gateway.wiring.encoders import ENCODERS

app = typer.Typer(no_args_is_help=True, help="Show the model profiles: prompts, sizes, spaces.")


@app.command("list")
def list_profiles(as_json: Json = False, config: Config = None, assignments: Set = None) -> None:
    """List the models that can be served.

    Example: gateway profile list --json
    """
    known = _known(config, assignments)
    if as_json:
        print_json([_facts(profile) for profile in known.values()])
        return
    table = Table("profile", "model", "sizes", "max tokens", "space", box=None)
    for profile in known.values():
        table.add_row(
            profile.name,
            profile.model_id,
            " ".join(map(str, profile.sizes)),
            str(profile.max_tokens),
            profile.fingerprint(),
        )
    print_table(table)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Profile name or hub id.")],
    as_json: Json = False,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Show one model: prompts by task, sizes with published scores, dtypes, the space it defines.

    `spaces` are the fingerprints by encoder: quantised weights and made-up vectors are spaces of their
    own. `fingerprint_of` is all that the digest of `space` is taken over.

    Example: gateway profile show embeddinggemma-300m
    """
    known = _known(config, assignments)
    try:
        profile = find_profile(name, known)
        shown = _facts(profile) | _identity(profile, read_settings(config, assignments))
    except GatewayError as exc:
        fail(exc)
    if as_json:
        print_json(shown)
        return
    for key, value in shown.items():
        if isinstance(value, dict):
            out.print(f"[bold]{key}[/]")
            for inner, text in value.items():  # pyright: ignore[reportUnknownVariableType]
                out.print(f"  {inner}: {text!r}", markup=False)
        else:
            out.print(f"[bold]{key}[/]: ", end="")
            out.print(str(value), markup=False)


def _known(config: Config, assignments: Set) -> Mapping[str, ModelProfile]:
    try:
        path = read_settings(config, assignments).profiles_file
        return load_profiles(path) if path else CATALOG
    except GatewayError as exc:
        fail(exc)


def _identity(profile: ModelProfile, settings: Settings) -> dict[str, Any]:
    """Every ingredient of the fingerprint, and the space by each encoder that can serve it."""
    kinds = [kind for kind in ENCODERS if kind not in profile.refused_encoders]
    if profile.model_id != ALL_MINILM_L6_V2.model_id:
        kinds.remove("minilm")
    return {
        "spaces": {kind: served_space(settings, profile, kind) for kind in kinds},
        "prompt_set": prompt_set(profile),
        "fingerprint_of": ingredients(profile),
    }


def _facts(profile: ModelProfile) -> dict[str, Any]:
    rule = profile.title_rule
    return {
        "name": profile.name,
        "space": profile.fingerprint(),
        "model": profile.model_id,
        "revision": profile.revision,
        "licence": profile.licence,
        "sizes": list(profile.sizes),
        "default_size": profile.default_size,
        "max_tokens": profile.max_tokens,
        "dtypes": list(profile.dtypes),
        "pooling": profile.pooling,
        "heads": list(profile.heads),
        "languages": list(profile.languages) or "many",
        "titled_document": None if rule is None else f"{rule.before}{{title}}{rule.after}{{text}}",
        "prompts": dict(profile.prompts),
        "published": {f"{p.benchmark} at {p.size}": p.score for p in profile.published},
        "refused_encoders": dict(profile.refused_encoders),
    }
