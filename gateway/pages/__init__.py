"""Reports as one self-contained HTML page: no script, no font, no address outside."""

from html import escape
from importlib.resources import files


def page(title: str, body: str) -> str:
    """Return a whole page with the shared style, light and dark."""
    style = (files("gateway.pages") / "page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def figure(svg: str, title: str, told: str) -> str:
    """Return a picture with its caption."""
    return f"<figure>{svg}<figcaption><b>{escape(title)}</b> {escape(told)}</figcaption></figure>"


def facts_table(facts: dict[str, str]) -> str:
    """Return facts by name as a table of two columns."""
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in facts.items()
    )
    return f'<table class="made">{rows}</table>'
