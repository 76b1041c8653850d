"""Markdown as ingest sees it: front matter, headings and where they stand. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final, cast

import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

MAX_FRONT_MATTER: Final = 64 * 1024

_FRONT_MATTER: Final = re.compile(
    r"---[ \t]*(?:\r\n|\n|\r)(.*?)^(?:---|\.\.\.)[ \t]*(?:\r\n|\n|\r|\Z)", re.DOTALL | re.MULTILINE
)
_LINE_BREAK: Final = re.compile(r"\r\n|\n|\r")
_MAYBE_HEADING: Final = re.compile(
    r"(?:\A|[\r\n]) {0,3}(?:#{1,6}(?:\s|\Z)|=+[ \t]*(?:[\r\n]|\Z)|-+[ \t]*(?:[\r\n]|\Z))"
)
_MARKUP: Final = re.compile(r"[*_`\[\]<>&\\!~]")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of the document itself (not inside a list, quote or code fence).

    `offset` is the character at which its line begins.
    """

    level: int
    text: str
    offset: int


def split_front_matter(source: str) -> tuple[Mapping[str, object], str]:
    """Return the values of a YAML front matter and the body after it.

    What opens like front matter but is not a YAML mapping belongs to the body: nothing is lost.
    """
    found = _FRONT_MATTER.match(source) if source.startswith("---") else None
    if found is None or found.end(1) > MAX_FRONT_MATTER:
        return {}, source
    try:
        values: object = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}, source
    if not isinstance(values, dict):
        return {}, source
    return cast("dict[str, object]", values), source[found.end() :]


def find_headings(source: str) -> list[Heading]:
    """Return the headings of a Markdown text in order, with plain texts."""
    if _MAYBE_HEADING.search(source) is None:
        return []
    starts = [0, *(found.end() for found in _LINE_BREAK.finditer(source))]
    headings: list[Heading] = []
    tokens = _blocks().parse(source)
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            text = _plain(inline)
            if text:
                headings.append(Heading(int(opening.tag[1:]), text, starts[opening.map[0]]))
    return headings


def heading_paths(headings: list[Heading]) -> list[tuple[str, ...]]:
    """Return the titles in force after each number of headings (0, 1, 2 ...), outermost first."""
    paths: list[tuple[str, ...]] = [()]
    open_: list[Heading] = []
    for heading in headings:
        while open_ and open_[-1].level >= heading.level:
            open_.pop()
        open_.append(heading)
        paths.append(tuple(outer.text for outer in open_))
    return paths


@cache
def _blocks() -> MarkdownIt:
    """Return a parser of blocks only: inline rules run on headings alone. It keeps no state."""
    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])
    return parser


@cache
def _inlines() -> MarkdownIt:
    return MarkdownIt("commonmark")


def _plain(inline: Token) -> str:
    """Return a heading as one line of text, without its markup."""
    content = inline.content
    if _MARKUP.search(content):
        tokens = _inlines().parseInline(content)
        children = [child for token in tokens for child in token.children or []]
        content = "".join(
            " " if child.type in {"softbreak", "hardbreak"} else child.content for child in children
        )
    return " ".join(content.split())
