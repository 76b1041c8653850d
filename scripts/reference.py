"""Write the generated pages of docs/reference from the code, or `--check` that they are current."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gateway.api.exceptions import status_of
from gateway.doctor import CHECKS
from gateway.errors import GatewayError
from gateway.settings import Section, Settings, variable_name

FOLDER = Path(__file__).parents[1] / "docs" / "reference"


def main() -> int:
    pages = {
        "settings.md": settings_page(),
        "errors.md": errors_page(),
        "doctor.md": doctor_page(),
    }
    if "--check" not in sys.argv[1:]:
        for name, text in pages.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    stale = [name for name, text in pages.items() if read(FOLDER / name) != text]
    for name in stale:
        print(f"docs/reference/{name} is not what the code says; run: make reference")
    return 1 if stale else 0


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def settings_page() -> str:
    lines = [
        "# Settings",
        "",
        "Generated from `gateway/settings/` by `make reference`.",
        "",
        "A flag of the command line wins over an environment variable, that over the settings file",
        "(`--config FILE`, else the file that `GATEWAY_CONFIG` names, else `gateway.toml` in the",
        "working folder), that over the default. `tei.urls` is `GATEWAY_TEI__URLS` in the environment,",
        "`[tei] urls = [...]` in the file, and `--set tei.urls=...` as a flag. Lists are comma separated",
        "in the environment. A misspelt setting is an error that names the nearest one.",
    ]
    for title, intro, rows in sections(Settings):
        lines += ["", f"## {title}", "", *([intro, ""] if intro else [])]
        lines += ["| Setting | Variable | Default | Meaning |", "|---|---|---|---|", *rows]
    return "\n".join(lines) + "\n"


def sections(model: type[BaseModel]) -> Iterator[tuple[str, str, list[str]]]:
    """Title, introduction and rows: the settings of the top, then of each section."""
    top: list[str] = []
    nested: list[tuple[str, type[Section]]] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            nested.append((name, kind))
        else:
            top.append(row(name, field))
    yield "General", "", top
    for name, kind in nested:
        rows = [row(f"{name}.{key}", field) for key, field in kind.model_fields.items()]
        yield f"`{name}`", (kind.__doc__ or "").strip(), rows


def row(path: str, field: Any) -> str:
    meaning = str(field.description or "").replace("|", "\\|")
    return f"| `{path}` | `{variable_name(path)}` | {default_of(field)} | {meaning} |"


def default_of(field: Any) -> str:
    if field.default_factory is not None:
        return "the platform's user data folder"
    value = field.default
    if value is None or value == ():
        return "not set"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def errors_page() -> str:
    lines = [
        "# Errors",
        "",
        "Generated from `gateway/errors.py` and `gateway/api/exceptions.py` by `make reference`.",
        "",
        "Routes under `/api/v1` answer errors as `application/problem+json` (RFC 9457): `type` is",
        "`urn:tei-rag-gateway:problem:` and the slug, `detail` says what happened and what to do,",
        "`field` and `index` name the offending place. Routes under `/v1` answer in OpenAI's envelope,",
        "with the slug in snake case as `code`. The command line prints the slug in brackets.",
        "",
        "| Slug | Status | Title | Class |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{kind.slug}` | {status_of(kind)} | {kind.title} | `{kind.__name__}` |"
        for kind in sorted(leaves(GatewayError), key=lambda kind: (status_of(kind), kind.slug))
    ]
    return "\n".join(lines) + "\n"


def doctor_page() -> str:
    lines = [
        "# Checks of the doctor",
        "",
        "Generated from `gateway/doctor/` by `make reference`; `gateway doctor --list` prints the same.",
        "",
        "Each check ends as ok, warn, fail or skip; one that cannot run fails, or says why it is skipped.",
        "How to run them: [Ask the doctor](../how-to/doctor.md).",
    ]
    for check in CHECKS.values():
        mends = " `--fix` does it." if check.fix else ""
        lines += ["", f"## `{check.id}`", "", " ".join(check.proves.split()), ""]
        lines += [f"**Fails:** {check.fails}", "", f"**Remedy:** {check.remedy}.{mends}"]
    return "\n".join(lines) + "\n"


def leaves(kind: type[GatewayError]) -> set[type[GatewayError]]:
    """Every error class that has a slug of its own."""
    found = {kind} if "slug" in vars(kind) else set[type[GatewayError]]()
    return found.union(*(leaves(child) for child in kind.__subclasses__()))


if __name__ == "__main__":
    sys.exit(main())
