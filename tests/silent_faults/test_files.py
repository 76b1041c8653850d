"""Files of the model that lack a part: the vectors have their size, as the real model's would."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.encoders.local import LocalEncoder
from tests.silent_faults.conftest import TINY_PROFILE, Reference, Server, profile_toml
from tests.silent_faults.marks import injects
from tests.silent_faults.trial import Bench, written
from tests.support.llama_server import LlamaServer
from tests.support.tiny_gemma import HIDDEN, MIDDLE
from tests.support.tiny_gguf import Kind, write_gguf

pytestmark = pytest.mark.anyio

SQUARE = replace(
    TINY_PROFILE,
    name="square-embeddinggemma",
    sizes=(HIDDEN,),
    default_size=HIDDEN,
    heads=(f"dense {HIDDEN}->{MIDDLE}", f"dense {MIDDLE}->{HIDDEN}"),
)


@pytest.fixture(scope="module")
def square(square_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A bench over the checkpoint whose Dense layers keep the hidden size, as the real one's do."""
    folder = tmp_path_factory.mktemp("square-recorded")
    reference, recording = Reference(square_gemma), folder / "recording.json"
    reference.record(SQUARE).save(recording)
    profiles = written(folder / "profiles.toml", profile_toml(SQUARE))
    settings = {
        "profile": SQUARE.name,
        "profiles_file": str(profiles),
        "recording": str(recording),
    }
    return Bench(reference, settings, size=HIDDEN)


@injects("no-dense")
async def test_a_server_without_the_dense_layers_is_refused(
    square: Bench, server: Server, square_gemma: Path
) -> None:
    encoder = await LocalEncoder.load(str(square_gemma), device="cpu")
    with server(encoder=encoder) as healthy:
        settings = square.configured(tei={"urls": [healthy.url]})
        (await square.tried(settings)).require_harmless()
    with server(encoder=encoder) as wrong:
        wrong.fail("no-dense", times=None)
        outcome = await square.tried(square.configured(tei={"urls": [wrong.url]}))
    await encoder.aclose()
    outcome.require_caught("cosine .* skips layers")
    assert outcome.points == outcome.hits == 0


@injects("no-dense")
async def test_an_old_tei_over_a_folder_is_refused_unasked(bench: Bench, server: Server) -> None:
    with server(contract="1.8.2", model_id="/data/embeddinggemma-300m") as wrong:
        outcome = await bench.tried(bench.configured(tei={"urls": [wrong.url]}, recording=None))
    outcome.require_caught("skips the model's Dense layers")


@injects("gguf-without-dense", "gguf-quantised")
async def test_a_gguf_other_than_the_recorded_model_is_refused(
    square: Bench, square_gemma: Path, tmp_path: Path, fault: str
) -> None:
    pytest.importorskip("xllamacpp", reason="needs the extra `dev`")
    kind: Kind = "q8_0" if fault == "gguf-quantised" else "f32"
    file = write_gguf(
        square_gemma, tmp_path / "m.gguf", kind=kind, dense=fault != "gguf-without-dense"
    )
    with LlamaServer(file) as wrong:
        outcome = await square.tried(openai_settings(square, wrong.url, square_gemma))
    outcome.require_caught("recorded text a vector of cosine")
    assert outcome.points == outcome.hits == 0


@injects("gguf")
async def test_a_gguf_of_the_recorded_model_in_full_precision_is_accepted(
    square: Bench, square_gemma: Path, square_gguf: Path
) -> None:
    pytest.importorskip("xllamacpp", reason="needs the extra `dev`")
    with LlamaServer(square_gguf) as healthy:
        outcome = await square.tried(openai_settings(square, healthy.url, square_gemma))
    outcome.require_harmless()


def openai_settings(square: Bench, url: str, tokenizer: Path):
    return square.configured(encoder="openai", openai={"url": url, "tokenizer": str(tokenizer)})
