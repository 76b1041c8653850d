"""Figures as people read them."""

from collections.abc import Mapping

from gateway.parity.layers.judged import Figure


def figure(value: Figure) -> str:
    """A figure of at most a few characters; cosines near 1 keep their nines."""
    if isinstance(value, float):
        if 0.99 < abs(value) < 1.01:
            return f"{value:.7f}"
        return f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:.4f}"
    return str(value)


def figures(values: Mapping[str, Figure]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {figure(value)}" for name, value in values.items())
