"""The local encoder: dtypes, checkpoints that cannot be served, and what it says of itself."""

import json
import sys
from contextlib import aclosing
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from gateway.domain.vectors import shorten
from gateway.encoders.local import LocalEncoder
from gateway.errors import (
    ConfigurationError,
    MissingExtra,
    UnsupportedDtype,
    UpstreamError,
    UpstreamUnavailable,
)
from tests.support.tiny_corpus import ENGLISH

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("dtype", ["float16", "fp16", "half", "Float16"])
async def test_float16_is_refused_before_anything_is_looked_at(dtype: str) -> None:
    with pytest.raises(UnsupportedDtype, match="overflow half precision"):
        await LocalEncoder.load("/no/such/folder/at/all", dtype=dtype)


async def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(UnsupportedDtype, match="use float32, bfloat16 or auto"):
        await LocalEncoder.load("/no/such/folder/at/all", dtype="int4")


async def test_without_sentence_transformers_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)

    with pytest.raises(MissingExtra, match=r"tei-rag-gateway\[local\]"):
        await LocalEncoder.load("anything")


async def test_a_missing_checkpoint_is_a_configuration_error_that_names_it() -> None:
    with pytest.raises(ConfigurationError, match="cannot load model '/no/such/folder/at/all'"):
        await LocalEncoder.load("/no/such/folder/at/all", device="cpu")


async def test_loading_leaves_no_bars_where_no_terminal_shows_them(
    tiny_gemma: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with aclosing(await LocalEncoder.load(str(tiny_gemma), device="cpu")):
        assert "Loading weights" not in capfd.readouterr().err


async def test_auto_is_float32_on_a_cpu(tiny_gemma: Path) -> None:
    async with aclosing(await LocalEncoder.load(str(tiny_gemma), device="cpu")) as encoder:
        info = encoder.info

    assert (info.kind, info.dtype, info.size, info.max_tokens) == ("local", "float32", 768, 2048)
    details = dict(info.details)
    assert len(details.pop("files")) == 16
    assert details == {"device": "cpu", "modules": "Transformer,Pooling,Dense,Dense,Normalize"}


async def test_a_device_is_found_when_none_is_named(tiny_gemma: Path) -> None:
    async with aclosing(await LocalEncoder.load(str(tiny_gemma))) as encoder:
        device = dict(encoder.info.details)["device"].partition(":")[0]

        assert device in {"cpu", "cuda", "mps"}
        assert encoder.info.dtype == "float32" or device == "cuda"
        assert (await encoder.encode(["red planet"])).vectors.dtype == np.float32


@pytest.mark.gpu
async def test_auto_is_bfloat16_on_a_cuda_device_that_computes_in_it(tiny_gemma: Path) -> None:
    exact = await LocalEncoder.load(str(tiny_gemma), device="cpu")
    quick = await LocalEncoder.load(str(tiny_gemma), device="cuda")
    async with aclosing(exact), aclosing(quick):
        assert quick.info.dtype == "bfloat16"
        first, second = [
            shorten((await encoder.encode(list(ENGLISH[:8]))).vectors, 768)
            for encoder in (exact, quick)
        ]

    assert np.einsum("ij,ij->i", first, second).min() > 0.99


async def test_a_forward_pass_that_fails_is_our_error_without_the_text(
    tiny_gemma: Path, tmp_path: Path
) -> None:
    folder = copytree(tiny_gemma, tmp_path / "broken")
    path = folder / "2_Dense" / "config.json"
    path.write_text(path.read_text().replace('"in_features": 96', '"in_features": 100'))
    weights = {"linear.weight": np.ones((384, 100), np.float32)}
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    async with aclosing(await LocalEncoder.load(str(folder), device="cpu")) as encoder:
        with pytest.raises(UpstreamError, match="failed on a batch of 1: RuntimeError") as failed:
            await encoder.encode(["secret text"])

    assert failed.value.service == "local"
    assert "secret" not in str(failed.value)


async def test_a_default_prompt_and_a_cut_in_the_checkpoint_are_not_applied(
    tiny_gemma: Path, tmp_path: Path
) -> None:
    folder = copytree(tiny_gemma, tmp_path / "opinionated")
    path = folder / "config_sentence_transformers.json"
    config = json.loads(path.read_text()) | {"default_prompt_name": "query", "truncate_dim": 128}
    path.write_text(json.dumps(config))
    plain = await LocalEncoder.load(str(tiny_gemma), device="cpu")
    opinionated = await LocalEncoder.load(str(folder), device="cpu")
    async with aclosing(plain), aclosing(opinionated):
        first, second = [
            (await encoder.encode(["red planet"])).vectors for encoder in (plain, opinionated)
        ]

    np.testing.assert_array_equal(first, second)


async def test_a_checkpoint_that_reads_other_tokens_than_we_count_is_refused(
    tiny_gemma: Path, tmp_path: Path
) -> None:
    folder = copytree(tiny_gemma, tmp_path / "cutting")
    path = folder / "sentence_bert_config.json"
    path.write_text(json.dumps({"max_seq_length": 8, "do_lower_case": False}))

    with pytest.raises(ConfigurationError, match="reads 8 tokens where its"):
        await LocalEncoder.load(str(folder), device="cpu")


async def test_a_closed_encoder_says_so(tiny_gemma: Path) -> None:
    encoder = await LocalEncoder.load(str(tiny_gemma), device="cpu")
    await encoder.aclose()

    assert not (await encoder.health()).ok
    with pytest.raises(UpstreamUnavailable, match="closed"):
        await encoder.count_tokens(["late"])
