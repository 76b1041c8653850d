"""Pictures as inline SVG, drawn from a few numbers; colours come from the page's style."""

from collections.abc import Iterator, Sequence
from math import log2, log10
from typing import Final

import numpy as np

from gateway.pages.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, across, picture, tick
from gateway.parity.layers.rows import Floats

LEAST: Final = -9
"""Exponent at which distances end: float32 itself is no finer than that."""
SHADES: Final = 64
"""Colours of a heat map."""


def histogram(cosines: Floats, bar: float) -> str:
    """How many texts lie how far from the reference, one column per half a decimal place."""
    steps = np.floor(_exponents(cosines) * 2) / 2
    edges = np.arange(LEAST, 0.5, 0.5)
    counts = [int((steps == edge).sum()) for edge in edges]
    most = max(1, *counts)
    limit = log10(max(1 - bar, 10.0**LEAST))
    parts = [*_x_decades(), *_y_counts(most)]
    for edge, count in zip(edges, counts, strict=True):
        if count:
            x, wide = _x(edge), _x(edge + 0.5) - _x(edge) - 3
            tall = (HEIGHT - TOP - BOTTOM) * count / most
            kind = "good" if edge < limit else "bad"
            y = HEIGHT - BOTTOM - tall
            parts.append(
                f'<rect class="{kind}" x="{x + 1.5:.1f}" y="{y:.1f}" width="{wide:.1f}" '
                f'height="{tall:.1f}" rx="2"><title>{count} texts</title></rect>'
            )
    at = _x(limit)
    parts.append(
        f'<line class="bar" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    )
    return picture(WIDTH, HEIGHT, parts, "Histogram of distances to the reference")


def drift(tokens: Sequence[int], cosines: Floats, bar: float) -> str:
    """Each text as a dot: its tokens to the right, its distance upwards."""
    longest = max(4.0, log2(max(tokens)))
    parts = [*_lengths(longest), *_y_decades()]
    limit = _y(log10(max(1 - bar, 10.0**LEAST)))
    parts.append(across("bar", limit))
    for index, exponent in enumerate(_exponents(cosines).tolist()):
        kind = "good" if cosines[index] >= bar else "bad"
        x = _length(tokens[index], longest)
        told = f"text {index}: {tokens[index]} tokens, cosine {cosines[index]:.8f}"
        parts.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{_y(exponent):.1f}" r="4">'
            f"<title>{told}</title></circle>"
        )
    return picture(WIDTH, HEIGHT, parts, "Distance to the reference by length")


def heat_map(matrix: Floats, kind: str) -> str:
    """A square of cells; `kind` chooses the colours: `similarity` or `difference`."""
    least, most = float(matrix.min()), float(matrix.max())
    if kind == "difference":
        least, most = 0.0, max(most, 1e-12)
    span = (most - least) or 1.0
    levels = np.round((matrix - least) / span * (SHADES - 1)).astype(int)
    parts: list[str] = []
    for level in np.unique(levels).tolist():
        cells = np.argwhere(levels == level).tolist()
        path = "".join(f"M{column},{row}h1v1h-1z" for row, column in cells)
        parts.append(f'<path fill="{_colour(level / (SHADES - 1), kind)}" d="{path}"/>')
    return picture(len(matrix), len(matrix), parts, f"Heat map of the {kind}", crisp=True)


def _exponents(cosines: Floats) -> Floats:
    """Decimal exponents of 1 - cosine, bounded to the picture."""
    return np.log10(np.clip(1 - cosines, 10.0**LEAST, 1.0))


def _x(exponent: float) -> float:
    """Place of an exponent from `LEAST` to 0.5, left to right."""
    return LEFT + (exponent - LEAST) / (0.5 - LEAST) * (WIDTH - LEFT - RIGHT)


def _y(exponent: float) -> float:
    """Height of an exponent from `LEAST` to 0, bottom to top."""
    tall = HEIGHT - TOP - BOTTOM
    return HEIGHT - BOTTOM - (exponent - LEAST) / -LEAST * tall


def _length(tokens: int, longest: float) -> float:
    """Place of a text of so many tokens, from 4 to 2 to the power of `longest`, left to right."""
    share = (log2(max(tokens, 4)) - 2) / (longest - 2)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _lengths(longest: float) -> Iterator[str]:
    for power in range(2, int(longest) + 1):
        place = _length(2**power, longest)
        yield tick(place, HEIGHT - BOTTOM + 18, str(2**power), "middle")
    yield tick((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "tokens", "middle")


def _y_decades() -> Iterator[str]:
    for exponent in range(LEAST, 1, 3):
        yield across("grid", _y(exponent))
        yield tick(LEFT - 8, _y(exponent) + 4, _power(exponent), "end")


def _x_decades() -> Iterator[str]:
    for exponent in range(LEAST, 1, 1):
        yield tick(_x(exponent), HEIGHT - BOTTOM + 18, _power(exponent), "middle")
    yield across("axis", HEIGHT - BOTTOM)
    yield tick((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "1 − cosine", "middle")


def _y_counts(most: int) -> Iterator[str]:
    tall = HEIGHT - TOP - BOTTOM
    for count in dict.fromkeys((0, most // 2, most)):
        y = HEIGHT - BOTTOM - tall * count / most
        yield across("grid", y)
        yield tick(LEFT - 8, y + 4, str(count), "end")


def _power(exponent: int) -> str:
    if exponent == 0:
        return "1"
    return f'10<tspan dy="-5" font-size="8">{exponent}</tspan>'


_RAMPS: Final = {
    "similarity": ((247, 250, 252), (144, 190, 222), (34, 94, 168), (8, 29, 88)),
    "difference": ((255, 252, 245), (253, 190, 133), (217, 71, 1), (127, 39, 4)),
}


def _colour(share: float, kind: str) -> str:
    """A colour of a ramp, from light to dark."""
    ramp = _RAMPS[kind]
    place = min(max(share, 0.0), 1.0) * (len(ramp) - 1)
    low = min(int(place), len(ramp) - 2)
    part = place - low
    mixed = (round(a + (b - a) * part) for a, b in zip(ramp[low], ramp[low + 1], strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)
