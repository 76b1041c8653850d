"""Does this server make the vectors of the space? Its answers against what is known of them.

Three things may be known: the worked examples of the model card, a recording of the reference, and
what the other replicas answer.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from gateway.domain.recording import Recording
from gateway.domain.vectors import Matrix, Vector, require_unit, shorten
from gateway.tei.identity import ADVISED, Expectation, GoldenCheck, refuse

GOLDEN_TOLERANCES: Final = {"float32": 0.005}
COARSE_GOLDEN_TOLERANCE: Final = 0.02
"""Room around the similarities printed in a model card, by the dtype that a server computes in: an
ONNX export in float32 repeats them to 0.0001; bfloat16 and quantised weights get the wider one."""
AGREEMENT: Final = 0.99
"""Least cosine between two replicas; bfloat16 against float32 stays above 0.997."""
RECORDED_COSINE: Final = {"float32": 0.9999, "bfloat16": 0.99}
"""Least cosine to a float32 reference, by the dtype that a server computes in. Measured on the tiny
checkpoint: float32 engines above 0.999999, bfloat16 at least 0.997 on single short texts, 8-bit
weights 0.9994 at best."""


def golden_tolerance(*dtypes: str) -> float:
    """Room around the card's similarities for vectors computed in any of these dtypes."""
    return max(
        (GOLDEN_TOLERANCES.get(dtype, COARSE_GOLDEN_TOLERANCE) for dtype in dtypes),
        default=COARSE_GOLDEN_TOLERANCE,
    )


def require_goldens(where: str, rows: Matrix, expect: Expectation, dtype: str) -> None:
    """Refuse a server whose vectors of `golden_texts` do not have the cosines of the model card.

    Raises:
        UnsupportedServer: it runs another model, lacks its Dense layers or rewrites the prompts.
    """
    for golden, off in off_goldens(rows, expect):
        if not off <= golden_tolerance(dtype):
            refuse(
                where,
                f"is off by {off:.3f} in {dtype} on the worked example of the model card at size {golden.size}",
                "it serves another model, or one whose Dense layers were not loaded: check "
                f"--model-id, use TEI {ADVISED} in float32 (a fine-tune of the model: set "
                "tei.verify_goldens=false and give it a profile of its own)",
            )


def require_recorded_tokens(
    where: str, texts: Sequence[str], ids: Sequence[Sequence[int]], recording: Recording
) -> None:
    """Refuse a server that reads the recording's texts as other tokens than the reference.

    Raises:
        UnsupportedServer: it has another tokenizer, puts a prompt before texts or rewrites them.
    """
    recorded = {item.rendered: item.token_ids for item in recording.items}
    for text, found in zip(texts, ids, strict=True):
        if tuple(found) != recorded[text]:
            refuse(
                where,
                f"reads a recorded text as {len(found)} tokens, the reference as "
                f"{len(recorded[text])}" + (" others" if len(found) == len(recorded[text]) else ""),
                "it has another tokenizer, rewrites texts, or adds a prompt of its own: start it "
                "without --default-prompt and --default-prompt-name, with the recorded model",
            )


def require_recorded_vectors(where: str, rows: Matrix, recording: Recording, dtype: str) -> None:
    """Refuse a server whose vectors of the recording's texts are not those of the reference.

    Raises:
        UnsupportedServer: it runs another model or revision, a quantised one, or runs it wrongly.
    """
    require_unit(rows, size=recording.size)
    cosine, worst = worst_cosine(rows, recording.vectors)
    bar = bar_of(dtype)
    if not cosine >= bar:
        refuse(
            where,
            f"gives a recorded text a vector of cosine {cosine:.5f} to the reference's (at "
            f"least {bar} in {dtype}; item {worst}, task {recording.items[worst].task!r})",
            f"it runs another model, revision or quantisation, or skips layers: use TEI {ADVISED} "
            "with the recorded model, or record it anew if the change is meant",
        )


def off_goldens(rows: Matrix, expect: Expectation) -> Iterator[tuple[GoldenCheck, float]]:
    """Yield each golden with how far unit rows of `golden_texts` are from its cosines at most."""
    row_of = dict(zip(golden_texts(expect), rows, strict=True))
    for golden in expect.goldens:
        cut = shorten(
            np.stack([row_of[text] for text in (golden.query, *golden.documents)]), golden.size
        )
        yield golden, float(np.abs(cut[1:] @ cut[0] - np.asarray(golden.similarities)).max())


def worst_cosine(rows: Matrix, wanted: Matrix) -> tuple[float, int]:
    """Least cosine of unit rows to the ones wanted, and the row that has it.

    NaN, and rows of another size, count as -1.
    """
    if rows.shape != wanted.shape:
        return -1.0, 0
    cosines = np.nan_to_num(np.sum(rows * wanted, axis=1), nan=-1.0)
    worst = int(np.argmin(cosines))
    return float(cosines[worst]), worst


def bar_of(*dtypes: str) -> float:
    """Least cosine between vectors of one text computed in these dtypes."""
    return min(RECORDED_COSINE.get(dtype, RECORDED_COSINE["float32"]) for dtype in dtypes)


def golden_texts(expect: Expectation) -> list[str]:
    """Every text of the goldens once."""
    texts = (text for golden in expect.goldens for text in (golden.query, *golden.documents))
    return list(dict.fromkeys(texts))


class Agreement:
    """Replicas of one model agree: each is held against those that were verified before it."""

    def __init__(self) -> None:
        self._rows: dict[str, Vector] = {}

    def require(self, where: str, row: Vector) -> None:
        """Compare a replica's unit vector of `PROBE` with those of the other replicas.

        Raises:
            UnsupportedServer: they are not of one space.
        """
        for other, expected in self._rows.items():
            cosine = float(expected @ row)
            if other != where and not cosine >= AGREEMENT:
                refuse(
                    where,
                    f"disagrees with {other} on the same text (cosine {cosine:.3f})",
                    "serve the same model, revision and kind of dtype on every replica",
                )
        self._rows[where] = row

    def same(self, where: str, row: Vector) -> bool:
        """Tell whether a replica still answers what it answered when it was verified."""
        known = self._rows.get(where)
        return known is None or float(known @ row) >= AGREEMENT

    def leave(self, where: str) -> None:
        """Forget a replica that is not asked any more: a wrong one must not judge the others."""
        self._rows.pop(where, None)


class Baseline:
    """What a server itself answered when it was first verified: from then on it must repeat it."""

    def __init__(self) -> None:
        self._first: tuple[Matrix, str] | None = None

    def require(self, where: str, rows: Matrix, dtype: str) -> None:
        """Compare unit rows of the canaries, computed in `dtype`, with the first ones.

        Raises:
            UnsupportedServer: they are not the same.
        """
        if self._first is None:
            self._first = (rows, dtype)
            return
        first, first_dtype = self._first
        (cosine, worst), bar = worst_cosine(rows, first), bar_of(dtype, first_dtype)
        if not cosine >= bar:
            refuse(
                where,
                f"no longer gives the vectors that it gave when it was verified (cosine "
                f"{cosine:.5f}, at least {bar}; canary {worst})",
                "the model behind it was exchanged or runs wrongly: restart it with the former "
                "model, or restart the gateway and ingest anew if the change is meant",
            )
