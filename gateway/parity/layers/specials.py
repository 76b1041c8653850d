"""Inputs that servers are known to mishandle, each named."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.domain.recording import Recorded
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Figure, Judged, judged
from gateway.parity.layers.rows import Floats, least

NAME = "special inputs"
PROVES = "unusual texts get the reference's vectors, and one token too many is refused"
_KINDS = {
    "russian": re.compile("[а-яё]", re.IGNORECASE),
    "japanese": re.compile("[\u3040-\u30ff]"),
    "emoji": re.compile("[\U0001f300-\U0001faff]"),
    "code": re.compile(r"def \w+\(|SELECT .*\sFROM", re.DOTALL),
    "special_token": re.compile("<bos>"),
    "white_space": re.compile(r"\A\s|\s\Z|\n\n"),
}
ONE_LETTER = "one_letter"
LONGEST = "longest"


@dataclass(frozen=True, slots=True)
class Specials:
    """Least cosine by kind of input; `refused` says whether an over-long text was, None: not asked."""

    cosines: Mapping[str, float]
    refused: bool | None
    told: str = ""

    def judge(self, bars: Bars) -> Judged:
        figures: dict[str, Figure] = dict(self.cosines)
        far = {kind: found for kind, found in self.cosines.items() if not found >= bars.cosine_min}
        failures = (
            [
                f"{', '.join(far).replace('_', ' ')}: cosine {min(far.values()):.6f}, at least "
                f"{bars.cosine_min} is parity"
            ]
            if far
            else []
        )
        if self.refused is not None:
            figures["over_the_limit"] = "refused" if self.refused else "taken"
        if self.refused is False:
            failures.append(
                "a text over the model's limit is not refused as too long"
                + (f" ({self.told})" if self.told else ": its end is lost without a word")
            )
        return judged(NAME, PROVES, figures, failures)


def compare_specials(
    items: Sequence[Recorded], found: Floats, refused: bool | None, told: str = ""
) -> Specials:
    """Sort the cosines of texts by what is special about them."""
    longest = max(len(item.token_ids) for item in items)
    kinds: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        for kind in kinds_of(item, longest):
            kinds.setdefault(kind, []).append(index)
    return Specials(
        {kind: least(found[np.asarray(at)]) for kind, at in kinds.items()}, refused, told
    )


def kinds_of(item: Recorded, longest: int) -> list[str]:
    """What is special about a text; `longest` is the most tokens of any."""
    kinds = [kind for kind, sign in _KINDS.items() if sign.search(item.text)]
    if len(item.text) == 1:
        kinds.append(ONE_LETTER)
    if len(item.token_ids) == longest:
        kinds.append(LONGEST)
    return kinds
