"""Texts whose vectors are asked for again and again, to notice a model that drifts."""

from typing import Final

from gateway.embedding.profile import ModelProfile, Task

TEXTS: Final = (
    (Task.QUERY, "Which planet is known as the Red Planet?"),
    (Task.DOCUMENT, "Mars, known for its reddish appearance, is called the Red Planet."),
    (Task.DOCUMENT, "Марс — четвёртая планета от Солнца."),
    (Task.DOCUMENT, "def area(radius: float) -> float:\n    return 3.14159 * radius**2"),
)
LONG: Final = " ".join(
    f"In year {year} the lighthouse keeper wrote down the wind, the tide and every ship that passed."
    for year in range(1851, 1871)
)
"""Some 400 tokens: above the sliding window of EmbeddingGemma, far below its limit."""
LONG_TOKENS: Final = 700
"""More than any tokenizer here makes of `LONG` with a prompt."""


def canary_texts(profile: ModelProfile) -> tuple[str, ...]:
    """Four short final strings: both prompts, two scripts, code."""
    return tuple(profile.render(task, text) for task, text in TEXTS)


def long_canary(profile: ModelProfile) -> str:
    """A final string longer than a sliding window, "" for a model that reads none so long."""
    return profile.render(Task.DOCUMENT, LONG) if profile.max_tokens >= LONG_TOKENS else ""
