"""What the pages say is so: commands, options, settings, routes, filters, errors and links exist."""

import ast
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import typer.main
from rich.text import Text

from gateway.api.app import create_app
from gateway.api.filters import parse_filter
from gateway.api.openapi import describe
from gateway.cli.app import app
from gateway.embedding.catalog import CATALOG, load_profiles
from gateway.errors import GatewayError
from gateway.schemas.collections import CollectionRequest
from gateway.schemas.documents import DocumentsBody
from gateway.schemas.search import SearchRequest
from gateway.settings import CONFIG_VARIABLE, Settings, known_paths, variable_name

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "infra").rglob("*.md")]
)
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, *languages: str) -> list[str]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [body for language, body in found if language in languages]


def commands(page: Path) -> Iterator[list[str]]:
    """Shell commands of a page, split into words; variables before a command are left out."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split(" | "):
                words = shlex.split(part, comments=True)
                while words and re.match(r"[A-Z_]+=", words[0]):
                    words.pop(0)
                if words:
                    yield words


def all_commands(program: str) -> list[list[str]]:
    return [words for page in PAGES for words in commands(page) if words[0] == program]


def find_command(words: list[str]) -> Any:
    """The command of a line; groups are the ones with `commands`."""
    command: Any = typer.main.get_command(app)
    for word in words[1:]:
        group = hasattr(command, "commands")
        if not group or (word.startswith("-") and command.invoke_without_command):
            return command
        assert word in command.commands, f"gateway has no command {word!r}"
        command = command.commands[word]
    alone = not hasattr(command, "commands") or command.invoke_without_command
    assert alone, f"{' '.join(words)} names a group, not a command"
    return command


def options_of(command: Any) -> Iterator[Any]:
    yield from command.params
    for each in getattr(command, "commands", {}).values():
        yield from options_of(each)


def test_no_help_of_an_option_loses_its_brackets() -> None:
    """Rich takes `[default: 8080]` for markup and prints nothing of it."""
    for option in options_of(typer.main.get_command(app)):
        text = getattr(option, "help", None) or ""
        assert Text.from_markup(text).plain == text.replace("\\[", "["), option.name


def slugs(kind: type[GatewayError] = GatewayError) -> set[str]:
    return {kind.slug}.union(*(slugs(child) for child in kind.__subclasses__()))


@each_page
def test_shell_blocks_are_valid_shell(page: Path) -> None:
    for block in blocks(page, "sh"):
        done = subprocess.run(
            ["bash", "-n"], input=block, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr


@each_page
def test_python_and_json_blocks_parse(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)
    for block in blocks(page, "json"):
        json.loads(block)


@pytest.mark.parametrize("words", all_commands("gateway"), ids=" ".join)
def test_every_gateway_command_and_option_exists(words: list[str]) -> None:
    command = find_command(words)
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    for word in words[1:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{' '.join(words)}: no option {word}"


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    asked = {word for words in all_commands("make") for word in words[1:] if "=" not in word}
    asked |= {
        target
        for page in PAGES
        for span in SPAN.findall(page.read_text(encoding="utf-8"))
        if span.startswith("make ")
        for target in span.split()[1:]
    }
    assert {"demo", "test"} <= asked <= targets


@each_page
def test_every_variable_is_a_setting(page: Path) -> None:
    known = {variable_name(path) for path in known_paths()} | {CONFIG_VARIABLE}
    named = set(re.findall(r"\bGATEWAY_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    assert named <= known


@each_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def served_paths() -> dict[str, set[str]]:
    paths = cast("dict[str, dict[str, Any]]", describe(create_app(Settings()))["paths"])
    return {path: {method.upper() for method in methods} for path, methods in paths.items()}


def served(method: str, path: str, paths: dict[str, set[str]]) -> bool:
    return any(
        method in methods and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", pattern), path)
        for pattern, methods in paths.items()
    )


def test_every_request_goes_to_a_route_with_a_body_that_it_takes() -> None:
    paths = served_paths()
    for words in all_commands("curl"):
        (url,) = [word for word in words if word.startswith("localhost:8080/")]
        path = "/" + url.partition("/")[2].partition("?")[0]
        has_body = "-d" in words or "--data-binary" in words
        method = words[words.index("-X") + 1] if "-X" in words else "POST" if has_body else "GET"
        assert served(method, path, paths), f"{method} {path}"
        if "-d" in words:
            check_body(method, path, words[words.index("-d") + 1])


def check_body(method: str, path: str, body: str) -> None:
    if path.endswith("/search"):
        asked = SearchRequest.model_validate_json(body)
        if asked.filter is not None:
            parse_filter(asked.filter)
    elif path.endswith("/documents"):
        DocumentsBody.model_validate_json(body)
    elif method == "PUT":
        CollectionRequest.model_validate_json(body)
    else:
        json.loads(body)


def test_every_route_named_in_a_page_is_served() -> None:
    paths = served_paths()
    said = re.compile(r"(GET|PUT|POST|DELETE) (/[a-z0-9/{}_-]+)")
    for page in PAGES:
        for method, path in said.findall(page.read_text(encoding="utf-8")):
            assert served(method, path, paths), f"{page.name}: {method} {path}"


def test_every_filter_of_the_filters_page_parses() -> None:
    page = (ROOT / "docs" / "how-to" / "filters.md").read_text(encoding="utf-8")
    examples = re.findall(r"`(\{.*?\})`", page, re.DOTALL)
    assert len(examples) >= 8
    for example in examples:
        parse_filter(json.loads(example))


def test_the_profile_of_the_add_a_model_page_can_be_loaded(tmp_path: Path) -> None:
    (block,) = blocks(ROOT / "docs" / "how-to" / "add-a-model.md", "toml")
    path = tmp_path / "profiles.toml"
    path.write_text(block, encoding="utf-8")
    added = load_profiles(path).keys() - CATALOG.keys()
    assert added == {"my-e5"}


def test_every_error_that_the_readme_promises_exists() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Silent mistakes")[2]
    promised = set(re.findall(r"\(`([a-z]+(?:-[a-z]+)+)`\)", table.partition("\n## ")[0]))
    assert len(promised) >= 6
    assert promised <= slugs()


def test_the_model_names_of_the_readme_are_served_by_a_profile() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, task in set(re.findall(r"\b([a-z0-9-]+):(query|document)\b", text)):
        assert task in CATALOG[name].tasks
