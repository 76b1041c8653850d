"""Do we write the final strings that sentence-transformers writes?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.domain.recording import Recorded
from gateway.domain.vectors import Matrix
from gateway.embedding.profile import ModelProfile
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Judged, judged
from gateway.parity.layers.rows import cosines, least

NAME = "prompts"
PROVES = "our final strings are those of encode_query, encode_document and every prompt name"
SAME = 0.999999
"""Least cosine of the reference to itself; only rounding lies between two calls."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """`other_strings` are texts that the profile renders otherwise than was recorded.

    `other_names` are prompt names of the checkpoint whose string is not the profile's; `used` are
    cosines of our strings to sentence-transformers' own way, per task.
    """

    rendered: int
    other_strings: tuple[int, ...]
    other_names: tuple[str, ...] | None
    used: Mapping[str, float]

    def judge(self, bars: Bars) -> Judged:  # noqa: ARG002  strings are equal or not
        names = self.other_names
        told = "not known" if names is None else f"{len(names)} differ" if names else "equal"
        figures: dict[str, float | int | str] = {"strings": self.rendered, "names": told}
        failures: list[str] = []
        if self.other_strings:
            failures.append(
                f"{len(self.other_strings)} texts are rendered otherwise than recorded, the first is "
                f"text {self.other_strings[0]}: another profile, or its prompts changed"
            )
        if names:
            failures.append(f"the checkpoint has other prompts for {', '.join(names)}")
        if self.used:
            figures["cosine_min"] = min(self.used.values())
        far = [task for task, cosine in self.used.items() if not cosine >= SAME]
        if far:
            failures.append(
                f"sentence-transformers itself gives other vectors for {', '.join(far)}: its prompt "
                "is not ours"
            )
        return judged(NAME, PROVES, figures, failures)


def compare_prompts(
    profile: ModelProfile,
    items: Sequence[Recorded],
    known: Mapping[str, str] | None,
    used: Mapping[str, tuple[Matrix, Matrix]],
) -> Prompts:
    """Compare strings, prompt names, and per task our rows with those of sentence-transformers' way."""
    other = tuple(
        index
        for index, item in enumerate(items)
        if profile.render(item.task, item.text, item.title) != item.rendered
    )
    names = None
    if known is not None:
        names = tuple(name for name, text in known.items() if profile.prompts.get(name) != text)
    return Prompts(
        len(items),
        other,
        names,
        {task: least(np.asarray(cosines(*rows))) for task, rows in used.items()},
    )
