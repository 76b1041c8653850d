"""Files that are one document each: Markdown, plain text, HTML. Pure: bytes in, document out."""

import codecs
from collections.abc import Callable, Mapping
from typing import Final

from gateway.domain.documents import Document
from gateway.errors import InvalidDocument
from gateway.ingest.html import extract, html_encoding
from gateway.ingest.markdown import find_headings, split_front_matter
from gateway.ingest.records import plain_metadata

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(data: bytes, default: str = "utf-8") -> str:
    """Decode a file by its byte order mark, else as `default`. Nothing is replaced.

    Raises:
        InvalidDocument: with the first byte that does not fit.
    """
    bom, encoding = next(((b, e) for b, e in _BOMS if data.startswith(b)), (b"", default))
    try:
        return data[len(bom) :].decode(encoding)
    except UnicodeDecodeError as exc:
        raise InvalidDocument(
            f"not {encoding} at byte {exc.start + len(bom)}; convert the file to UTF-8",
            field="text",
        ) from exc


def read_text(data: bytes, document_id: str, source: str, name: str | None) -> Document:
    """Plain text, kept whole. The title is the file's name without its extension."""
    return Document(id=document_id, text=decode(data), title=name, source=source)


def read_markdown(data: bytes, document_id: str, source: str, name: str | None) -> Document:
    """Markdown. `text` is the body after the front matter, and spans count from there.

    The title is the front matter's `title`, else the first heading, else the file's name; the other
    keys of the front matter become metadata.
    """
    values, body = split_front_matter(decode(data))
    given = values.get("title")
    title = given if isinstance(given, str) and given.strip() else None
    if title is None:
        title = next((heading.text for heading in find_headings(body)), name)
    rest = {key: value for key, value in values.items() if key != "title" or value != title}
    return Document(
        id=document_id,
        text=body,
        title=title,
        metadata=plain_metadata(rest),
        source=source,
        format="markdown",
    )


def read_html(data: bytes, document_id: str, source: str, name: str | None) -> Document:
    """HTML. `text` is the extracted text, and spans count in it."""
    title, text = extract(decode(data, html_encoding(data)))
    return Document(
        id=document_id, text=text, title=title or name, source=source, format="markdown"
    )


WHOLE: Final[Mapping[str, Callable[[bytes, str, str, str | None], Document]]] = {
    "text": read_text,
    "markdown": read_markdown,
    "html": read_html,
}
"""Readers of (bytes, document id, source, name) by the name of the format."""
