"""A recording is held against the encoder in force, whatever its kind, and only in its own space."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.bootstrap import open_runtime
from gateway.domain.recording import Recorded, Recording
from gateway.embedding.catalog import ALL_MINILM_L6_V2, EMBEDDING_GEMMA_2, EMBEDDING_GEMMA_300M
from gateway.embedding.fingerprint import space_of
from gateway.encoders.fake import FakeEncoder
from gateway.encoders.minilm import _INFO as MINILM  # pyright: ignore[reportPrivateUsage]
from gateway.errors import ConfigurationError, GatewayError, IntegrityError
from gateway.ports import EncoderInfo
from gateway.settings import Settings, load_settings
from gateway.wiring.consistency import served_space
from gateway.wiring.encoders import ENCODERS
from gateway.wiring.recordings import load_recording

pytestmark = pytest.mark.anyio

GEMMA = EMBEDDING_GEMMA_300M
TEXTS = ("task: search result | query: wo?", "title: none | text: Mars is red")


async def recorded(space: str = GEMMA.fingerprint("fake")) -> Recording:
    """What the made-up encoder answers, under the name of any space."""
    encoder = FakeEncoder()
    rows = (await encoder.encode(TEXTS)).vectors
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    counts = await encoder.count_tokens(TEXTS)
    items = [
        Recorded("query", text, None, text, tuple(range(count)), row)
        for text, count, row in zip(TEXTS, counts, rows, strict=True)
    ]
    return Recording(space, GEMMA.model_id, 768, {"dtype": "float32"}, items)


def settings_of(path: Path, **more: Any) -> Settings:
    given = {"store": "memory", "profile": GEMMA.name, "recording": str(path)}
    return load_settings(given | {"encoder": "fake"} | more, environ={})


async def opened(settings: Settings) -> str:
    async with open_runtime(settings) as runtime:
        return runtime.embedder.space


async def test_an_encoder_that_reproduces_its_recording_is_served(tmp_path: Path) -> None:
    (await recorded()).save(tmp_path / "r.json")

    assert await opened(settings_of(tmp_path / "r.json")) == GEMMA.fingerprint("fake")


@pytest.mark.parametrize(
    ("encoder", "more", "space", "fits"),
    [
        ("tei", {"tei": {"urls": ["http://a"]}}, GEMMA.fingerprint(), True),
        ("tei", {"tei": {"urls": ["http://a"]}}, GEMMA.fingerprint("fake"), False),
        ("tei", {"tei": {"urls": ["http://a"]}}, EMBEDDING_GEMMA_2.fingerprint(), False),
        ("local", {}, GEMMA.fingerprint(), True),
        ("local", {}, GEMMA.fingerprint(quantization="q8_0"), False),
        ("openai", {}, GEMMA.fingerprint(), True),
        ("openai", {"openai": {"quantization": "q8_0"}}, GEMMA.fingerprint(), False),
        (
            "openai",
            {"openai": {"quantization": "q8_0"}},
            GEMMA.fingerprint(quantization="q8_0"),
            True,
        ),
        ("fake", {}, GEMMA.fingerprint("fake"), True),
        ("fake", {}, GEMMA.fingerprint(), False),
        ("minilm", {"profile": "all-minilm-l6-v2"}, ALL_MINILM_L6_V2.fingerprint(), False),
        (
            "minilm",
            {"profile": "all-minilm-l6-v2"},
            space_of(ALL_MINILM_L6_V2, MINILM),
            True,
        ),
    ],
)
async def test_a_recording_is_of_the_space_that_the_encoder_serves(
    encoder: str, more: dict[str, Any], space: str, fits: bool, tmp_path: Path
) -> None:
    made = await recorded(space)
    made.save(tmp_path / "r.json")
    settings = settings_of(tmp_path / "r.json", encoder=encoder, **more)
    profile = ALL_MINILM_L6_V2 if encoder == "minilm" else GEMMA
    if fits:
        assert load_recording(settings, profile) is not None
        return
    with pytest.raises(ConfigurationError) as refused:
        load_recording(settings, profile)
    assert repr(space) in str(refused.value)
    assert repr(served_space(settings, profile)) in str(refused.value)
    quantised = space == profile.fingerprint()
    assert ("compare with gateway parity" in str(refused.value)) is quantised


async def test_a_recording_of_another_space_is_refused_before_an_encoder_opens(
    tmp_path: Path,
) -> None:
    (await recorded(GEMMA.fingerprint())).save(tmp_path / "r.json")

    with pytest.raises(ConfigurationError, match=r"fake.*\+fake"):
        await opened(settings_of(tmp_path / "r.json"))


async def test_an_encoder_with_other_vectors_or_tokens_than_recorded_is_refused(
    tmp_path: Path,
) -> None:
    made = await recorded()
    one, two = made.items
    for items, said in (
        ([replace(one, vector=two.vector), two], "cosine"),
        ([replace(one, token_ids=(1, 2)), two], "as 11 tokens, the reference as 2"),
    ):
        replace(made, items=items).save(tmp_path / "r.json")
        with pytest.raises(IntegrityError, match=said):
            await opened(settings_of(tmp_path / "r.json"))


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_space_that_settings_promise_is_the_space_of_the_open_encoder(kind: str) -> None:
    """`served_space` opens nothing, so it must know what each kind will say of itself."""
    settings = load_settings({"openai": {"quantization": "q4_0"}}, environ={})
    infos = {
        "fake": FakeEncoder().info,
        "minilm": MINILM,
        "openai": EncoderInfo("openai", "m", 768, 2048, quantization="q4_0"),
    }
    info = infos.get(kind, EncoderInfo(kind, "m", 768, 2048, dtype="bfloat16"))

    for profile in (GEMMA, ALL_MINILM_L6_V2):
        assert served_space(settings, profile, kind) == space_of(profile, info)


@pytest.mark.parametrize("kind", ["Q8_0", "q8-0", "a b"])
def test_a_kind_of_quantisation_is_lower_case_letters_and_digits(kind: str) -> None:
    with pytest.raises(GatewayError, match="quantization"):
        load_settings({"openai": {"quantization": kind}}, environ={})
