"""`gateway parity record` writes down the profile's model only, and says whose weights they were."""

from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.domain.recording import Recording
from gateway.embedding.profile import ModelProfile
from gateway.encoders._weights import weights_sha256
from gateway.encoders.local import LocalEncoder
from gateway.errors import ConfigurationError, IntegrityError
from gateway.parity.truth import ask_truth
from tests.support.cli import Shell
from tests.support.profile_files import write_profile

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

from tests.support.tiny_gemma import TINY_PROFILE

pytestmark = pytest.mark.anyio
OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def settings_of(folder: Path, profile: ModelProfile) -> dict[str, str]:
    write_profile(profile, folder / "profiles.toml")
    named = {"GATEWAY_PROFILES_FILE": str(folder / "profiles.toml")}
    return {**OFFLINE, **named, "GATEWAY_PROFILE": profile.name}


def test_another_model_of_the_same_size_is_not_recorded(tiny_gemma: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.json"
    arguments = ("--reference", str(tiny_gemma), "--out", str(file), "--brief")

    told = Shell(tmp_path).run("parity", "record", *arguments, **OFFLINE)

    assert told.code == 2
    said = " ".join(told.err.split())
    assert "is not model 'google/embeddinggemma-300m'" in said
    assert "worked example of the model card" in said
    assert "give the checkpoint of the profile" in said
    assert not file.exists()


def test_a_checkpoint_of_other_prompts_is_not_recorded(tiny_gemma: Path, tmp_path: Path) -> None:
    other = replace(
        TINY_PROFILE, name="other-prompts", prompts={**TINY_PROFILE.prompts, "query": "ask: "}
    )
    file = tmp_path / "wrong.json"
    arguments = ("--reference", str(tiny_gemma), "--out", str(file), "--brief")

    told = Shell(tmp_path).run("parity", "record", *arguments, **settings_of(tmp_path, other))

    assert told.code == 2
    assert "prompts for query are not those of profile 'other-prompts'" in " ".join(
        told.err.split()
    )
    assert not file.exists()


def test_a_recording_names_the_weights_it_was_made_by(tiny_gemma: Path, tmp_path: Path) -> None:
    file = tmp_path / "brief.json"
    arguments = ("--reference", str(tiny_gemma), "--out", str(file), "--brief")

    told = Shell(tmp_path).run(
        "parity", "record", *arguments, **settings_of(tmp_path, TINY_PROFILE)
    )

    assert told.code == 0, told.err
    assert Recording.load(file).made_by["weights_sha256"] == weights_sha256(tiny_gemma)


async def test_a_reference_of_another_size_or_other_weights_is_refused(tiny_gemma: Path) -> None:
    smaller = replace(TINY_PROFILE, sizes=(256, 128), default_size=256)
    named = replace(TINY_PROFILE, weights_sha256="0" * 64)
    async with aclosing(await LocalEncoder.load(str(tiny_gemma), device="cpu")) as reference:
        with pytest.raises(ConfigurationError, match=r"size 768, the profile's have 256"):
            await ask_truth(reference, smaller)
        with pytest.raises(IntegrityError, match="the profile names 000"):
            await ask_truth(reference, named)
