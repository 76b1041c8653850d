"""A cache that was filled by another model under the same name."""

import asyncio
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.encoders.local import LocalEncoder
from tests.silent_faults.conftest import TINY_PROFILE, Reference, Server
from tests.silent_faults.marks import injects
from tests.silent_faults.trial import Bench
from tests.support.tiny_gemma import build_tiny_gemma

pytestmark = pytest.mark.anyio


@pytest.fixture
def changed(bench: Bench, tmp_path: Path) -> Generator[tuple[Bench, LocalEncoder], None, None]:
    """Another model under the same name and profile, recorded anew."""
    folder = build_tiny_gemma(tmp_path / "changed", sliding_window=8)
    reference = Reference(folder)
    recording = tmp_path / "changed.json"
    reference.record(TINY_PROFILE).save(recording)
    settings = bench.settings | {"recording": str(recording)}
    encoder = asyncio.run(LocalEncoder.load(str(folder), device="cpu"))
    yield replace(bench, reference=reference, settings=settings), encoder
    asyncio.run(encoder.aclose())


@injects("stale-cache")
async def test_a_cache_outlives_no_model(
    bench: Bench, server: Server, changed: tuple[Bench, LocalEncoder], tmp_path: Path
) -> None:
    new_bench, new_model = changed
    cache = {"kind": "disk", "path": str(tmp_path / "cache")}
    with server() as healthy:
        settings = bench.configured(tei={"urls": [healthy.url]}, cache=cache)
        (await bench.tried(settings)).require_harmless()
    with server(encoder=new_model) as served:
        tei = {"urls": [served.url]}
        refused = await bench.tried(bench.configured(tei=tei, cache=cache))
        meant = await new_bench.tried(new_bench.configured(tei=tei, cache=cache))
    refused.require_caught("a recorded text a vector of cosine")
    assert refused.points == refused.hits == 0
    meant.require_harmless()
