"""What inline SVG pictures have in common; colours come from the page's style."""

from collections.abc import Sequence
from typing import Final

WIDTH: Final = 520
HEIGHT: Final = 260
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 40


def picture(
    width: int, height: int, parts: Sequence[str], label: str, *, crisp: bool = False
) -> str:
    """Return a picture of parts that scales with its page."""
    edges = ' shape-rendering="crispEdges"' if crisp else ""
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}"{edges}>'
        f"{''.join(parts)}</svg>"
    )


def tick(x: float, y: float, text: str, anchor: str) -> str:
    """Return a word at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def across(kind: str, y: float) -> str:
    """Return a line from side to side: `grid`, `axis` or `bar`."""
    return f'<line class="{kind}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
