"""What failed layers point to together: most faults leave a pattern."""

from collections.abc import Callable, Sequence
from typing import Final

from gateway.parity.layers.judged import Judged, Status

_Rule = tuple[Callable[[set[str]], bool], str]

_RULES: Final[tuple[_Rule, ...]] = (
    (lambda failed: not failed, ""),
    (
        lambda failed: "tokens" in failed,
        "The model reads other tokens: a prompt of the server's own, another tokenizer, or texts "
        "that are rewritten or cut on the way. Mend this first; what else failed may follow from it.",
    ),
    (
        lambda failed: "answers" in failed,
        "The candidate does not answer one usable vector for each text.",
    ),
    (
        lambda failed: "prompts" in failed,
        "The strings before the texts are not those of the reference: another profile, or another "
        "revision of the model's prompts.",
    ),
    (
        lambda failed: "order" in failed,
        "Vectors reach the wrong texts: rows are mixed up between the inputs of a request.",
    ),
    (
        lambda failed: "vectors" in failed and not failed & {"geometry", "neighbours"},
        "Texts lie to one another as in the reference, but in another space: another model or "
        "revision of the same size. Vectors of the two must never be mixed.",
    ),
    (
        lambda failed: "vectors" in failed,
        "Other vectors are computed: another model, Dense layers that were not loaded, a quantised "
        "file, or causal attention.",
    ),
    (
        lambda failed: failed == {"norms"},
        "Directions are right and lengths are not: the candidate does not normalise. The gateway "
        "restores unit length itself; other users of this server get wrong dot products.",
    ),
    (
        lambda failed: failed <= {"batches", "special inputs"} and "batches" in failed,
        "A text's vector depends on what it is batched with: keep chunks at 256 tokens or fewer, or "
        "use a server that masks the sliding window in every batch.",
    ),
    (
        lambda failed: failed == {"mrl"},
        "Full vectors are right, shorter ones are not: the server's own cut is another one. The "
        "gateway never asks for it and cuts itself.",
    ),
    (
        lambda failed: "special inputs" in failed,
        "Ordinary texts are right; an unusual one, or one over the limit, is not.",
    ),
    (lambda _: True, "See the layers that failed."),
)


def diagnose(layers: Sequence[Judged]) -> str:
    """Return the likeliest cause of what failed, "" when nothing did."""
    failed = {layer.layer for layer in layers if layer.status is Status.FAIL}
    return next(cause for applies, cause in _RULES if applies(failed))
