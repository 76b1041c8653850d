"""Which weights are served: by the bytes of a checkpoint, by the name of a file that is quantised."""

import hashlib
from pathlib import Path

import pytest

from gateway.encoders._quantization import quantization_in
from gateway.encoders._weights import require_weights, weights_sha256
from gateway.encoders.local import LocalEncoder
from gateway.errors import IntegrityError

pytestmark = pytest.mark.anyio


def test_one_file_has_its_own_digest(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")

    assert weights_sha256(tmp_path) == hashlib.sha256(b"weights").hexdigest()


def test_several_files_have_the_digest_of_what_sha256sum_prints_of_them(tmp_path: Path) -> None:
    (tmp_path / "2_Dense").mkdir()
    files = {"2_Dense/model.safetensors": b"dense", "model.safetensors": b"body"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    printed = "".join(f"{hashlib.sha256(c).hexdigest()}  {n}\n" for n, c in files.items())

    before = weights_sha256(tmp_path)
    assert before == hashlib.sha256(printed.encode()).hexdigest()
    (tmp_path / "2_Dense/model.safetensors").write_bytes(b"tuned")
    assert weights_sha256(tmp_path) != before


async def test_a_checkpoint_with_other_weights_than_named_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")

    with pytest.raises(IntegrityError, match=r"sha256 .*but the profile names 0000"):
        await LocalEncoder.load(str(tmp_path), weights_sha256="0" * 64)


def test_a_hub_id_is_pinned_by_its_revision_instead() -> None:
    require_weights(Path("google/embeddinggemma-300m"), "0" * 64)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("embeddinggemma-300M-Q8_0.gguf", "q8_0"),
        ("/models/embeddinggemma-300m.Q4_K_M.gguf", "q4_k_m"),
        ("unsloth/embeddinggemma-300m-GGUF:IQ4_XS", "iq4_xs"),
        ("embeddinggemma:300m-qat-q4_0", "q4_0"),
        ("org/model-int8", "int8"),
        ("/data/int8/gemma-q8_0.gguf", "q8_0"),
        ("C:\\int8\\gemma-f32.gguf", ""),
        ("org/model-FP8-dynamic", "fp8"),
        ("google/embeddinggemma-300m", ""),
        ("embeddinggemma-300M-BF16.gguf", ""),
        ("embeddinggemma-300M-F32.gguf", ""),
        ("q-model-8_0", ""),
        ("seq8_0pt", ""),
    ],
)
def test_the_name_of_a_file_tells_how_it_is_quantised(name: str, kind: str) -> None:
    assert quantization_in(name) == kind
