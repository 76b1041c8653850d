"""Checks of an encoder, asked as requests ask it: well, and ill in one way each."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.doctor import CHECKS, Patient, Status, examine
from gateway.domain.recording import Recorded, Recording
from gateway.domain.vectors import shorten
from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_300M
from gateway.embedding.profile import Golden
from gateway.encoders.fake import FakeEncoder
from gateway.errors import DegenerateVector, UpstreamUnavailable
from gateway.ports import EncoderInfo, Encoding, Health, Lane
from tests.support.patients import filled, found_by, joined, status_of

pytestmark = pytest.mark.anyio

PROFILE = EMBEDDING_GEMMA_300M
PROMPTS = sorted(set(PROFILE.prompts.values()), key=len, reverse=True)


class DropsPrompts(FakeEncoder):
    """A server that cuts our prompts off."""

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        return await super().encode([bare(text) for text in texts], lane=lane)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return await super().count_tokens([bare(text) for text in texts])


class RepeatsPrompts(FakeEncoder):
    """A server that puts a prompt before texts that carry one."""

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        return await super().encode([f"query: {text}" for text in texts], lane=lane)


class MixesUpBatches(FakeEncoder):
    """A server that answers a batch in another order."""

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        encoding = await super().encode(texts, lane=lane)
        return replace(encoding, rows=encoding.vectors[::-1])


class RefusesEmoji(FakeEncoder):
    """A server that gives a text of another script no direction."""

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        encoding = await super().encode(texts, lane=lane)
        refused = {i: DegenerateVector("null") for i, text in enumerate(texts) if "🚀" in text}
        return replace(encoding, refused=refused)


class WithoutDirection(FakeEncoder):
    """A server whose short prefixes are zeros."""

    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        encoding = await super().encode(texts, lane=lane)
        encoding.rows[:, :128] = 0
        return encoding


class ClaimsToBeReal(FakeEncoder):
    """Another model that says it is EmbeddingGemma."""

    dtype = "float32"

    @property
    def info(self) -> EncoderInfo:
        return replace(super().info, variant="", dtype=self.dtype)


class IsDown(FakeEncoder):
    async def encode(self, texts: Sequence[str], *, lane: Lane = Lane.QUERY) -> Encoding:
        raise UpstreamUnavailable("nobody answers at http://tei", service="tei")

    async def health(self) -> Health:
        return Health("tei", ok=False, detail="nobody answers at http://tei")


def bare(text: str) -> str:
    for prompt in PROMPTS:
        text = text.removeprefix(prompt)
    return text


async def test_a_gateway_that_is_well_fails_no_check_and_runs_them_all() -> None:
    findings = await examine(await filled())
    assert {finding.check for finding in findings} == set(CHECKS)
    assert not [f for f in findings if f.status in {Status.FAIL, Status.WARN}]
    told = {f.check for f in findings if f.status is Status.OK}
    assert {"encoder-reachable", "prompts", "vectors", "nulls", "batch", "languages"} <= told


@pytest.mark.parametrize(
    ("encoder", "check", "status"),
    [
        (FakeEncoder(), "encoder-reachable", Status.OK),
        (IsDown(), "encoder-reachable", Status.FAIL),
        (IsDown(), "prompts", Status.FAIL),
        (FakeEncoder(), "prompts", Status.OK),
        (DropsPrompts(), "prompts", Status.FAIL),
        (RepeatsPrompts(), "prompts", Status.FAIL),
        (FakeEncoder(), "nulls", Status.OK),
        (RefusesEmoji(), "nulls", Status.FAIL),
        (FakeEncoder(), "batch", Status.OK),
        (MixesUpBatches(), "batch", Status.FAIL),
        (WithoutDirection(), "vectors", Status.FAIL),
        (FakeEncoder(), "goldens", Status.SKIP),
        (FakeEncoder(), "recording", Status.SKIP),
        (FakeEncoder(), "dtype", Status.OK),
    ],
)
async def test_an_encoder_that_is_ill_is_found_by_its_check(
    encoder: FakeEncoder, check: str, status: Status
) -> None:
    assert await status_of(check, Patient.of(joined(encoder))) is status


async def test_a_dtype_that_nobody_told_is_not_claimed() -> None:
    class Served(FakeEncoder):
        @property
        def info(self) -> EncoderInfo:
            return replace(super().info, kind="openai")

    patient = Patient.of(joined(Served()))
    assert await status_of("dtype", patient) is Status.SKIP
    (reachable,) = await found_by("encoder-reachable", patient)
    assert "a dtype it does not tell" in reachable.detail


async def test_a_dtype_that_is_not_allowed_is_found() -> None:
    encoder = ClaimsToBeReal()
    patient = Patient.of(joined(encoder))
    encoder.dtype = "float16"
    assert await status_of("dtype", patient) is Status.FAIL


async def test_every_size_is_told_of() -> None:
    found = await found_by("vectors", Patient.of(joined()))
    assert [finding.status for finding in found] == [Status.OK] * len(PROFILE.sizes)


async def test_what_cannot_be_asked_is_skipped_with_the_reason_and_never_passes() -> None:
    findings = await examine(joined(IsDown()))
    later = [f for f in findings if f.check in {"prompts", "vectors", "batch", "goldens"}]
    assert {finding.status for finding in later} == {Status.SKIP}
    assert all("encoder-reachable" in finding.detail for finding in later)
    assert findings[0].status is Status.FAIL


async def test_the_model_card_tells_another_model() -> None:
    found = await found_by("goldens", Patient.of(joined(ClaimsToBeReal())))
    assert {finding.status for finding in found} == {Status.FAIL}
    made = await joined().embedder.embed_one("query", "a", size=768)
    same = float(made.vectors[0] @ made.vectors[0])
    right = Golden("query", "a", "query", ("a",), 768, (same,))
    profile = replace(PROFILE, name="right", goldens=(right,))
    assert await status_of("goldens", Patient.of(joined(ClaimsToBeReal(), profile=profile))) is (
        Status.OK
    )


async def test_a_recording_tells_other_vectors_and_other_tokens(tmp_path: Path) -> None:
    texts = [PROFILE.render("query", "which planet is red"), PROFILE.render("document", "Mars")]
    encoding = await FakeEncoder().encode(texts)
    rows = shorten(encoding.vectors, 768)
    assert encoding.counts is not None
    items = [
        Recorded("query", text, None, text, tuple(range(count)), row)
        for text, count, row in zip(texts, encoding.counts, rows, strict=True)
    ]

    def patient(*items: Recorded) -> Patient:
        made = Recording(PROFILE.fingerprint(), PROFILE.model_id, 768, {}, items)
        made.save(tmp_path / "recording.json")
        return Patient.of(
            joined(
                ClaimsToBeReal(),
                settings={"recording": tmp_path / "recording.json", "encoder": "local"},
            )
        )

    assert await status_of("recording", patient(*items)) is Status.OK
    other = replace(items[0], vector=rows[1].astype(np.float32))
    assert await status_of("recording", patient(other, items[1])) is Status.FAIL
    longer = replace(items[0], token_ids=(*items[0].token_ids, 7))
    assert await status_of("recording", patient(longer, items[1])) is Status.FAIL


async def test_a_model_of_one_language_is_warned_of_where_others_are_stored() -> None:
    minilm = FakeEncoder(size=384, max_tokens=256)
    english = await filled(minilm, profile=ALL_MINILM_L6_V2)
    assert await status_of("languages", Patient.of(english)) is Status.OK
    russian = await filled(
        minilm,
        profile=ALL_MINILM_L6_V2,
        documents=[{"id": "a", "text": "Марс называют красной планетой"}],
    )
    assert await status_of("languages", Patient.of(russian)) is Status.WARN
    assert await status_of("prompts", Patient.of(russian)) is Status.SKIP
