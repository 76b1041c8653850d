"""Does the candidate read the same tokens?"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.domain.recording import Recorded
from gateway.parity.bars import Bars
from gateway.parity.layers.judged import Judged, judged

NAME = "tokens"
PROVES = "the same token ids are read, prompt and special tokens included, and as many as embedded"


@dataclass(frozen=True, slots=True)
class Tokens:
    """`other_ids` and `other_counts` are the texts read otherwise; None where nothing was told.

    `extra` is by how many tokens the embedding route reads more, where it is always as many.
    """

    compared: int
    other_ids: tuple[int, ...] | None
    other_counts: tuple[int, ...] | None
    extra: int | None = None

    def judge(self, bars: Bars) -> Judged:  # noqa: ARG002  tokens are equal or not
        figures = {
            "texts": self.compared,
            "ids": _told(self.other_ids),
            "counts": _told(self.other_counts),
        }
        failures: list[str] = []
        if self.other_ids:
            failures.append(
                f"{len(self.other_ids)} texts have other token ids, the first is text "
                f"{self.other_ids[0]}: another tokenizer, or texts are rewritten on the way"
            )
        if self.other_counts and self.extra:
            failures.append(
                f"{self.extra:+d} tokens in every text: a prompt of its own is put before texts; "
                "start the server without a default prompt"
            )
        elif self.other_counts:
            failures.append(
                f"{len(self.other_counts)} texts are embedded from another number of tokens, the "
                f"first is text {self.other_counts[0]}: texts are cut, rewritten or prompted"
            )
        return judged(NAME, PROVES, figures, failures)


def compare_tokens(
    items: Sequence[Recorded],
    ids: Sequence[Sequence[int]] | None,
    counts: Sequence[int] | None,
) -> Tokens:
    """Compare ids of the tokenizer and counts of the embedding route with the reference's ids.

    A count of 0 is that of a text that was refused: it is left out.
    """
    other_ids = other_counts = extra = None
    if ids is not None:
        pairs = enumerate(zip(ids, items, strict=True))
        other_ids = tuple(i for i, (row, item) in pairs if tuple(row) != item.token_ids)
    if counts is not None:
        pairs = enumerate(zip(counts, items, strict=True))
        more = {index: count - len(item.token_ids) for index, (count, item) in pairs if count}
        other_counts = tuple(index for index, by in more.items() if by)
        extra = next(iter(more.values())) if len(set(more.values())) == 1 else None
    return Tokens(len(items), other_ids, other_counts, extra)


def _told(other: tuple[int, ...] | None) -> str:
    return "not told" if other is None else f"{len(other)} differ" if other else "equal"
