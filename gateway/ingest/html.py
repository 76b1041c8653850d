"""HTML to text: what a reader of the page sees, with headings as Markdown so that paths work."""

import codecs
import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

_DROPPED: Final = frozenset(
    {"script", "style", "noscript", "template", "head", "svg", "iframe", "object", "-comment"}
)
_LINES: Final = frozenset({"li", "tr", "dt", "dd", "thead", "tbody", "tfoot"})
_BLOCKS: Final = _LINES | {
    *("address", "article", "aside", "blockquote", "body", "caption", "details", "dialog", "div"),
    *("dl", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5"),
    *("h6", "header", "hr", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "ul"),
}
_PARAGRAPHS: Final = _BLOCKS - _LINES
_HEADINGS: Final = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_SPACES: Final = re.compile(r"[ \t\n\r\f]+")
_META_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.I
)


def html_encoding(data: bytes) -> str:
    """Return the encoding that a page declares in its first 1,024 bytes, else UTF-8."""
    found = _META_CHARSET.search(data[:1024])
    if found is None:
        return "utf-8"
    try:
        return codecs.lookup(found[1].decode("ascii")).name
    except LookupError:
        return "utf-8"


def extract(page: str) -> tuple[str | None, str]:
    """Return the title (`<title>`, else the first `<h1>`) and the text of a page.

    Blocks are parted by a blank line (list items and rows by a line break), white space inside them
    is one space, `<pre>` is kept as a code fence, scripts and styles are dropped.
    """
    tree = LexborHTMLParser(page)
    title = None
    for selector in ("title", "h1"):
        node = tree.css_first(selector)
        title = title or (_SPACES.sub(" ", node.text()).strip() if node is not None else None)
    writer = _Writer()
    if tree.body is not None:
        _walk(tree.body, writer)
    return title or None, writer.text()


def _walk(top: LexborNode, writer: "_Writer") -> None:
    """Visit nodes in document order without recursion: pages may nest as deep as they like."""
    stack: list[tuple[LexborNode, bool]] = [(top, False)]
    while stack:
        node, leaving = stack.pop()
        tag = node.tag or ""
        if leaving:
            writer.leave(tag)
        elif tag == "-text":
            writer.write(node.text_content or "")
        elif tag not in _DROPPED:
            writer.enter(tag)
            stack.append((node, True))
            child = node.last_child
            while child is not None:
                stack.append((child, False))
                child = child.prev


class _Writer:
    """Collects text; breaks are written only between what has text on both sides."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._break = ""
        self._prefix = ""
        self._pre = 0

    def enter(self, tag: str) -> None:
        if self._pre:
            if tag == "br":
                self._parts.append("\n")
            self._pre += tag == "pre"
        elif tag in _BLOCKS or tag == "br":
            self._part(tag)
            self._prefix = _HEADINGS.get(tag, "- " if tag == "li" else self._prefix)
            if tag == "pre":
                self._emit("```\n")
                self._pre = 1
        elif tag in {"td", "th"}:
            self.write(" ")

    def leave(self, tag: str) -> None:
        if tag == "pre" and self._pre:
            self._pre -= 1
            if not self._pre:
                self._parts.append("```" if self._parts[-1].endswith("\n") else "\n```")
        if tag in _BLOCKS and not self._pre:
            self._part(tag)
            self._prefix = ""

    def write(self, text: str) -> None:
        if self._pre:
            self._parts.append(text)
            return
        text = _SPACES.sub(" ", text)
        if self._break or not self._parts:
            text = text.lstrip(" ")
        elif text.startswith(" ") and self._parts[-1].endswith(" "):
            text = text[1:]
        if text:
            self._emit(text)

    def text(self) -> str:
        return "".join(self._parts).rstrip(" ")

    def _part(self, tag: str) -> None:
        """Ask for a break before the next text: a blank line, or a line break inside a block."""
        wanted = "\n\n" if tag in _PARAGRAPHS else "\n"
        self._break = max(self._break, wanted, key=len)

    def _emit(self, text: str) -> None:
        if self._parts and self._break:
            self._parts[-1] = self._parts[-1].rstrip(" ")
            self._parts.append(self._break)
        self._parts.append(self._prefix + text)
        self._break = self._prefix = ""
