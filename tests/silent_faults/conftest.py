"""The recorded reference and the healthy model behind the servers, once for the session; the number."""

import asyncio
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from gateway.encoders.local import LocalEncoder
from tests.silent_faults.marks import MARK
from tests.silent_faults.trial import Bench, written
from tests.support.tei_stub import TEIStub

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

from tests.silent_faults.reference import Reference, profile_toml
from tests.support.tiny_gemma import TINY_PROFILE

Server: TypeAlias = Callable[..., TEIStub]


@pytest.fixture(scope="session")
def reference(tiny_gemma: Path) -> Reference:
    return Reference(tiny_gemma)


@pytest.fixture(scope="session")
def bench(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A gateway with the tiny model's profile and a recording of its reference; no server yet."""
    folder = tmp_path_factory.mktemp("recorded")
    recording = folder / "recording.json"
    reference.record(TINY_PROFILE).save(recording)
    profiles = written(folder / "profiles.toml", profile_toml(TINY_PROFILE))
    settings = {
        "profile": TINY_PROFILE.name,
        "profiles_file": str(profiles),
        "recording": str(recording),
    }
    return Bench(reference, settings)


@pytest.fixture(scope="session")
def tiny_encoder(tiny_gemma: Path) -> Generator[LocalEncoder, None, None]:
    encoder = asyncio.run(LocalEncoder.load(str(tiny_gemma), device="cpu"))
    yield encoder
    asyncio.run(encoder.aclose())


@pytest.fixture
def server(tiny_encoder: LocalEncoder) -> Server:
    """Makes servers over the healthy checkpoint; options are those of their contract."""

    def make(**options: Any) -> TEIStub:
        given = {
            "encoder": tiny_encoder,
            "model_id": TINY_PROFILE.model_id,
            "prompts": tiny_encoder.prompts,
        }
        return TEIStub(**(given | options))

    return make


@pytest.fixture(autouse=True)
def _tell_the_fault(request: pytest.FixtureRequest) -> None:
    """Leave the id of the injected fault in the report of the test."""
    mark = request.node.get_closest_marker(MARK)
    if mark is not None:
        request.node.user_properties.append((MARK, mark.args[0]))
