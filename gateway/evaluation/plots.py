"""Pictures of an evaluation as inline SVG: quality against bytes, and queries won and lost."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import ceil, log2
from textwrap import wrap
from typing import Final, TypeAlias

from gateway.evaluation.results import PRIMARY, Interval, Run
from gateway.pages.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, across, picture, tick

Place: TypeAlias = Callable[[float], float]
"""Where in the picture a value stands."""

_ROW: Final = 34
_TEXT: Final = 170
_NAME: Final = 25
"""Characters of a run's name that fit beside its bar or above its dot; a longer one is folded."""
_WIDE: Final = 74
"""Characters that fit under a picture."""
_LINE: Final = 13
_STEPS: Final = (0.01, 0.02, 0.05, 0.1, 0.2)
_MOST_STEPS: Final = 6


def quality_against_bytes(runs: Sequence[Run], frontier: Sequence[str]) -> str:
    """Each run as a dot: bytes that a search looks through to the right, nDCG@10 upwards.

    The runs that no other one beats are joined by a line and named: above their dots where that
    fits, else by a number and underneath.
    """
    sizes = [log2(max(1, run.index.searched_bytes)) for run in runs]
    low, high = min(sizes) - 0.5, max(sizes) + 0.5
    values = [run.metrics[PRIMARY] for run in runs]
    steps = _steps(min(values), max(values))
    bottom, top = steps[0], steps[-1]

    def x(size: float) -> float:
        return LEFT + (size - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM)

    parts = [*_bytes_ticks(low, high, x), *_value_ticks(steps, y)]
    places = {
        run.name: (x(size), y(value)) for run, size, value in zip(runs, sizes, values, strict=True)
    }
    edge = sorted(places[name] for name in frontier if name in places)
    if len(edge) > 1:
        points = " ".join(f"{px:.1f},{py:.1f}" for px, py in edge)
        parts.append(f'<polyline class="front" points="{points}"/>')
    labels = _labels([name for name in frontier if name in places])
    for run in runs:
        px, py = places[run.name]
        kind = "good" if run.name in frontier else "dim"
        told = f"{run.name}: {PRIMARY} {run.metrics[PRIMARY]:.4f}, {run.index.searched_bytes} bytes"
        parts.append(
            f'<circle class="{kind}" cx="{px:.1f}" cy="{py:.1f}" r="5">'
            f"<title>{escape(told)}</title></circle>"
        )
        if kind == "good":
            parts.append(tick(px, py - 10, escape(labels[run.name]), _anchor(px)))
    legend = [
        line
        for name, label in labels.items()
        if label != name
        for line in wrap(f"{label} {name}", _WIDE)
    ]
    parts += _lines(legend, LEFT, HEIGHT + _LINE, "start")
    return picture(WIDTH, HEIGHT + (len(legend) + 1) * _LINE, parts, "Quality against bytes")


def _labels(names: Sequence[str]) -> dict[str, str]:
    """Return what stands above each run's dot: its name, or a number where that is too long."""
    long = [name for name in names if len(name) > _NAME]
    return {name: f"({long.index(name) + 1})" if name in long else name for name in names}


def _folded(name: str) -> list[str]:
    """Return a run's name in lines that fit beside its bar, its variant on lines of its own."""
    run, bracket, variant = name.partition(" (")
    return [*wrap(run, _NAME), *wrap(bracket.strip() + variant, _NAME)]


def _lines(texts: Sequence[str], x: float, y: float, anchor: str) -> list[str]:
    """Return lines of text, one under the other from `y` on."""
    return [tick(x, y + place * _LINE, escape(text), anchor) for place, text in enumerate(texts)]


def _anchor(px: float) -> str:
    """Where a name is held, so that it stays inside the picture."""
    if px < LEFT + _TEXT / 2:
        return "start"
    return "end" if px > WIDTH - RIGHT - _TEXT / 2 else "middle"


def _steps(low: float, high: float) -> list[float]:
    """Round values from 0 to 1 that reach around all others, six at most."""
    found: list[float] = []
    for step in _STEPS:
        last = min(ceil(high / step + 0.25), round(1 / step))
        first = max(0, min(int(low / step), last - 2))
        found = [number * step for number in range(first, last + 1)]
        if len(found) <= _MOST_STEPS:
            break
    return found


def intervals(runs: Sequence[Run]) -> str:
    """Each run as a bar from 0 to its nDCG@10, with the interval of its mean."""
    names = [_folded(run.name) for run in runs]
    most = max(run.intervals[PRIMARY].high for run in runs) or 1.0

    def x(value: float) -> float:
        return _TEXT + value / most * (WIDTH - _TEXT - 56)

    parts: list[str] = []
    at = TOP
    for run, name in zip(runs, names, strict=True):
        spread: Interval = run.intervals[PRIMARY]
        value = run.metrics[PRIMARY]
        parts += [
            *_lines(name, _TEXT - 10, at + 17, "end"),
            f'<rect class="good" x="{_TEXT}" y="{at + 5}" width="{x(value) - _TEXT:.1f}" '
            'height="18" rx="2"/>',
            f'<line class="whisker" x1="{x(spread.low):.1f}" x2="{x(spread.high):.1f}" '
            f'y1="{at + 14}" y2="{at + 14}"/>',
            tick(x(spread.high) + 8, at + 18, f"{value:.3f}", "start"),
        ]
        at += _ROW + (len(name) - 1) * _LINE
    return picture(WIDTH, at + 24, parts, f"{PRIMARY} of each run with its interval")


def won_and_lost(run: Run, against: Run) -> str:
    """One column a query, by how much better `run` found what it should, the best gains first."""
    ours, theirs = run.per_query(PRIMARY), against.per_query(PRIMARY)
    gains = sorted((ours[query] - theirs[query] for query in ours if query in theirs), reverse=True)
    if not gains:
        return ""
    wide = (WIDTH - LEFT - RIGHT) / len(gains)
    middle, half = (HEIGHT - BOTTOM + TOP) / 2, (HEIGHT - BOTTOM - TOP) / 2
    parts = [across("axis", middle)]
    for value, told in ((1.0, "+1"), (0.5, "+0.5"), (0.0, "0"), (-0.5, "−0.5"), (-1.0, "−1")):
        parts.append(across("grid", middle - value * half))
        parts.append(tick(LEFT - 8, middle - value * half + 4, told, "end"))
    for place, gain in enumerate(gains):
        kind = "good" if gain > 0 else "bad"
        top = middle - max(gain, 0) * half
        parts.append(
            f'<rect class="{kind}" x="{LEFT + place * wide:.2f}" y="{top:.1f}" '
            f'width="{max(wide - 0.2, 0.3):.2f}" height="{abs(gain) * half:.1f}"/>'
        )
    parts.append(tick((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, f"{len(gains)} queries", "middle"))
    return picture(WIDTH, HEIGHT, parts, "Queries won and lost")


def reliability(scores: Sequence[float], probabilities: Sequence[float]) -> str:
    """The map from score to probability as a rising line."""
    low, high = min(scores), max(scores)
    span = (high - low) or 1.0

    def x(score: float) -> float:
        return LEFT + (score - low) / span * (WIDTH - LEFT - RIGHT)

    def y(probability: float) -> float:
        return HEIGHT - BOTTOM - probability * (HEIGHT - TOP - BOTTOM)

    parts = list(_value_ticks((0.0, 0.25, 0.5, 0.75, 1.0), y))
    for score in (low, (low + high) / 2, high):
        parts.append(tick(x(score), HEIGHT - BOTTOM + 18, f"{score:.3g}", "middle"))
    pairs = zip(scores, probabilities, strict=True)
    points = " ".join(f"{x(score):.1f},{y(probability):.1f}" for score, probability in pairs)
    parts.append(f'<polyline class="front" points="{points}"/>')
    return picture(WIDTH, HEIGHT, parts, "Probability of relevance by score")


def _bytes_ticks(low: float, high: float, x: Place) -> Iterator[str]:
    for power in range(int(low) + 1, int(high) + 1):
        yield tick(x(power), HEIGHT - BOTTOM + 18, f"{2**power}", "middle")
    yield across("axis", HEIGHT - BOTTOM)
    yield tick((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "bytes a chunk that are searched", "middle")


def _value_ticks(steps: Sequence[float], y: Place) -> Iterator[str]:
    for value in steps:
        yield across("grid", y(value))
        yield tick(LEFT - 8, y(value) + 4, f"{value:.3f}".rstrip("0").rstrip("."), "end")
