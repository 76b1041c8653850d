"""Each fault turns its own layer red, and the cause is named."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from gateway.domain.vectors import Matrix, shorten
from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.errors import ConfigurationError, DegenerateVector, UpstreamUnavailable
from gateway.parity.bars import FLOAT32
from gateway.parity.compare import Comparison, compare
from gateway.parity.layers.judged import Status
from gateway.parity.layers.prompts import compare_prompts
from gateway.parity.truth import recorded_truth
from tests.support.parity import (
    Repeating,
    Spoil,
    made_up_recording,
    made_up_truth,
    random_rows,
)

pytestmark = pytest.mark.anyio

PROFILE = replace(EMBEDDING_GEMMA_300M, name="made-up", sizes=(64, 32), default_size=64, goldens=())
TRUTH = made_up_truth(PROFILE)
RECORDING = TRUTH.recording


def turned(rows: Matrix) -> Matrix:
    return np.ascontiguousarray(rows[:, ::-1])


def moved(by: float) -> Spoil:
    """Rows with noise of length `by`, the same for the same number of rows."""

    def spoil(rows: Matrix) -> Matrix:
        noise = random_rows(len(rows), rows.shape[1], seed=1)
        return shorten((rows + by * noise).astype(np.float32), rows.shape[1])

    return spoil


def swapped(rows: Matrix) -> Matrix:
    return np.roll(rows, 1, axis=0)


def with_nan(rows: Matrix) -> Matrix:
    rows = rows.copy()
    rows[0, 0] = np.nan
    return rows


async def compared(candidate: Repeating, dtype: str | None = None) -> Comparison:
    return await compare(candidate, TRUTH, PROFILE, dtype=dtype)


def failed(found: Comparison) -> set[str]:
    return {layer.layer for layer in found.failed}


async def test_a_candidate_that_repeats_the_reference_is_in_parity() -> None:
    found = await compared(Repeating(RECORDING))

    assert found.ok
    assert found.cause == ""
    assert [layer.layer for layer in found.layers if layer.status is Status.OK] == [
        "answers",
        "tokens",
        "prompts",
        "norms",
        "order",
        "vectors",
        "mrl",
        "geometry",
        "neighbours",
        "batches",
        "special inputs",
    ]


@pytest.mark.parametrize(
    ("candidate", "layers", "cause"),
    [
        pytest.param(
            Repeating(RECORDING, extra_tokens=5), {"tokens"}, "reads other tokens", id="prompt"
        ),
        pytest.param(
            Repeating(RECORDING, other_ids=True), {"tokens"}, "another tokenizer", id="tokenizer"
        ),
        pytest.param(
            Repeating(RECORDING, together=swapped),
            {"order", "batches"},
            "reach the wrong texts",
            id="swapped",
        ),
        pytest.param(
            Repeating(RECORDING, alone=turned),
            {"vectors", "mrl", "special inputs"},
            "in another space",
            id="another-space",
        ),
        pytest.param(
            Repeating(RECORDING, alone=lambda rows: rows * 3),
            {"norms"},
            "does not normalise",
            id="unnormalised",
        ),
        pytest.param(
            Repeating(RECORDING, together=moved(0.1)),
            {"batches"},
            "depends on what it is batched with",
            id="company",
        ),
        pytest.param(
            Repeating(RECORDING, cut=turned), {"mrl"}, "own cut is another", id="its-own-cut"
        ),
        pytest.param(
            Repeating(RECORDING, cut=lambda rows: rows[:, :16]),
            {"mrl"},
            "own cut is another",
            id="a-cut-of-another-size",
        ),
        pytest.param(
            Repeating(RECORDING, takes_all=True),
            {"special inputs"},
            "or one over the limit",
            id="truncation",
        ),
    ],
)
async def test_a_fault_fails_its_own_layers_and_names_the_cause(
    candidate: Repeating, layers: set[str], cause: str
) -> None:
    found = await compared(candidate)

    assert failed(found) == layers
    assert cause in found.cause


async def test_other_vectors_fail_the_vectors_the_geometry_and_the_neighbours() -> None:
    other = replace(RECORDING, items=made_up_recording(PROFILE).items)
    rows = random_rows(len(other.items), other.size, seed=99)
    items = [replace(item, vector=row) for item, row in zip(other.items, rows, strict=True)]

    found = await compared(Repeating(replace(other, items=items)))

    assert {"vectors", "mrl", "geometry", "neighbours"} <= failed(found)
    assert not {"tokens", "prompts", "norms", "order", "batches"} & failed(found)
    assert "Other vectors are computed" in found.cause


async def test_vectors_of_nan_fail_the_answers() -> None:
    found = await compared(Repeating(RECORDING, alone=with_nan))

    assert "answers" in failed(found)
    assert f"{len(RECORDING.items)} texts get a vector of NaN" in found.layers[0].failures[0]


async def test_vectors_of_another_size_are_compared_no_further() -> None:
    found = await compared(Repeating(RECORDING, alone=lambda rows: rows[:, :32]))

    assert [layer.layer for layer in found.layers] == ["answers"]
    assert "Dense layers" in found.layers[0].failures[0]


async def test_bars_follow_the_dtype_that_the_candidate_or_the_caller_names() -> None:
    drifting = moved(0.02)

    strict = await compared(Repeating(RECORDING, alone=drifting))
    loose = await compared(Repeating(RECORDING, alone=drifting, dtype="bfloat16"))
    asked = await compared(Repeating(RECORDING, alone=drifting), dtype="bfloat16")
    unknown = await compared(Repeating(RECORDING, dtype="something"))

    assert "vectors" in failed(strict)
    assert "vectors" not in failed(loose) | failed(asked)
    assert (strict.bars.dtype, asked.bars.dtype) == ("float32", "bfloat16")
    assert unknown.bars.dtype == "float32"


async def test_half_precision_is_not_in_parity_whatever_it_answers() -> None:
    found = await compared(Repeating(RECORDING, dtype="float16"), dtype="float32")

    assert failed(found) == {"answers"}
    assert "overflow half precision" in found.layers[0].failures[0]


async def test_a_recording_of_few_texts_has_no_geometry() -> None:
    few = replace(RECORDING, items=RECORDING.items[:2])

    found = await compare(Repeating(few), recorded_truth(few, PROFILE, "few"), PROFILE)

    skipped = [one.layer for one in found.layers if one.status is Status.SKIP]
    assert found.ok
    assert skipped == ["model card", "geometry", "neighbours", "batches", "special inputs"]


async def test_an_encoder_in_this_process_need_not_normalise() -> None:
    candidate = Repeating(RECORDING, alone=lambda rows: rows * 3).without_promise()

    found = await compared(candidate)

    assert found.ok
    assert [one.layer for one in found.layers if one.status is Status.SKIP] == [
        "model card",
        "norms",
        "special inputs",
    ]


async def test_the_worked_example_of_the_card_is_asked_where_the_profile_has_one() -> None:
    profile = replace(EMBEDDING_GEMMA_300M, name="with-a-card")
    truth = made_up_truth(profile)

    found = await compare(Repeating(truth.recording, takes_all=True), truth, profile)

    (card,) = [layer for layer in found.layers if layer.layer == "model card"]
    assert card.status is Status.FAIL
    assert set(card.figures) == {"off_768", "off_256"}


async def test_a_text_within_the_limit_that_is_refused_is_a_finding() -> None:
    fewer = replace(RECORDING, items=RECORDING.items[1:])

    found = await compare(_Forgetful(fewer), TRUTH, PROFILE)

    assert "text 0 is within the model's limit and refused" in found.layers[0].failures[0]


@pytest.mark.parametrize("wrong", [DegenerateVector("a broken row"), UpstreamUnavailable("away")])
async def test_a_wrong_answer_is_a_result_and_a_missing_one_an_error(wrong: Exception) -> None:
    def fail(rows: Matrix) -> Matrix:
        raise wrong

    candidate = Repeating(RECORDING, alone=fail)
    if isinstance(wrong, DegenerateVector):
        assert failed(await compared(candidate)) == {"answers"}
    else:
        with pytest.raises(UpstreamUnavailable, match="away"):
            await compared(candidate)


def test_a_recording_of_another_space_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="record the reference again"):
        recorded_truth(RECORDING, EMBEDDING_GEMMA_300M, "old.json")


def test_a_profile_whose_prompts_changed_fails_the_prompts() -> None:
    """As when a recording's file is edited: the fingerprint says otherwise, the strings differ."""
    items = [replace(item, rendered=item.rendered + "!") for item in RECORDING.items]

    found = compare_prompts(PROFILE, items, {"query": "other: "}, {})

    judged = found.judge(FLOAT32)
    assert judged.status is Status.FAIL
    assert "the checkpoint has other prompts for query" in judged.failures


class _Forgetful(Repeating):
    """Knows the texts of its recording alone; asked for others, it tells their words as tokens."""

    async def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(range(len(text.split()))) for text in texts]
