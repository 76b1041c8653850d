"""Layers of settings, merged and checked. Nothing is read at import; loading reads one file at most."""

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from gateway.errors import ConfigurationError
from gateway.settings.fields import Section
from gateway.settings.sections import Settings

PREFIX = "GATEWAY_"
CONFIG_VARIABLE = "GATEWAY_CONFIG"
CONFIG_FILE = Path("gateway.toml")

Layer = dict[str, Any]
"""Settings as given by one source: nested dicts keyed by field names."""


def load_settings(
    flags: Layer | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
) -> Settings:
    """Merge the layers and validate them.

    Raises:
        ConfigurationError: an unknown or unusable setting; names it, its source and the nearest.
    """
    return _validate(_merge(*(layer for _, layer in layers(flags, environ, config_file))))


def layers(
    flags: Layer | None = None,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
) -> list[tuple[str, Layer]]:
    """Return the sources with what each sets, weakest first: file, environment, flags."""
    variables = os.environ if environ is None else environ
    path = config_file or (Path(v) if (v := variables.get(CONFIG_VARIABLE)) else None)
    return [
        (str(path or CONFIG_FILE), _from_file(path)),
        ("environment", _from_environment(variables)),
        ("flag", flags or {}),
    ]


def known_paths(model: type[BaseModel] = Settings, prefix: tuple[str, ...] = ()) -> list[str]:
    """Every setting as a dotted path, in order of declaration."""
    found: list[str] = []
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            found += known_paths(kind, (*prefix, name))
        else:
            found.append(".".join((*prefix, name)))
    return found


def variable_name(path: str) -> str:
    """Environment variable of a dotted path: `tei.urls` is `GATEWAY_TEI__URLS`."""
    return PREFIX + path.replace(".", "__").upper()


def _from_file(path: Path | None) -> Layer:
    if path is None and not CONFIG_FILE.is_file():
        return {}
    try:
        return tomllib.loads((path or CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigurationError(f"cannot read settings from {path or CONFIG_FILE}: {exc}") from exc


def _from_environment(variables: Mapping[str, str]) -> Layer:
    known = {variable_name(path): path for path in known_paths()}
    layer: Layer = {}
    for name, value in variables.items():
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper == CONFIG_VARIABLE:
            continue
        if upper not in known:
            raise ConfigurationError(
                f"environment variable {name!r} is no setting{_nearest(upper, known)}"
            )
        _set(layer, known[upper].split("."), value)
    return layer


def _set(layer: Layer, path: list[str], value: object) -> None:
    for key in path[:-1]:
        layer = layer.setdefault(key, {})
    layer[path[-1]] = value


def _merge(*found: Layer) -> Layer:
    merged: Layer = {}
    for layer in found:
        for key, value in layer.items():
            if isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = _merge(merged[key], cast("Layer", value))
            else:
                merged[key] = value
    return merged


def _validate(merged: Layer) -> Settings:
    try:
        return Settings.model_validate(merged)
    except ValidationError as exc:
        raise ConfigurationError("; ".join(_explain(error) for error in exc.errors())) from exc


def _explain(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        known = known_paths()
        sections = {name.partition(".")[0] for name in known}
        return f"{path!r} is no setting{_nearest(path, [*sections, *known])}"
    if error["type"] in {"model_type", "model_attributes_type"}:
        return f"{path!r} is a section of settings: write [{path}] and its keys below"
    said = error["msg"].removeprefix("Value error, ")
    return f"setting {path!r} ({variable_name(path)}): {said}"


def _nearest(name: str, known: Any) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return (
        f"; did you mean {close[0]!r}?" if close else "; see 'gateway config show' for all of them"
    )
