"""`gateway.parity` over real engines: the tiny checkpoint, the model server, llama.cpp, a gateway.

The reference is asked once for its whole corpus; faults are looked for over the short texts of it.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.api.app import create_app
from gateway.domain.recording import Recording
from gateway.embedding.catalog import ALL_MINILM_L6_V2
from gateway.encoders.local import LocalEncoder
from gateway.encoders.minilm import MiniLMEncoder
from gateway.encoders.openai import Expectation, OpenAIEncoder
from gateway.errors import ConfigurationError
from gateway.modelserver.faults import FaultKind
from gateway.parity import Report, assert_parity, assert_parity_sync
from gateway.parity.layers.judged import Judged
from gateway.parity.opening import gateway_candidate, run_parity, tei_candidate
from gateway.parity.truth import Truth, ask_truth, record, recorded_truth
from tests.api.apps import KEY, live, opener, settings_of
from tests.support.cli import Shell
from tests.support.llama_server import LlamaServer
from tests.support.profile_files import write_profile
from tests.support.tei_stub import TEIStub

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

from tests.support.tiny_gemma import HIDDEN, MIDDLE, TINY_PROFILE
from tests.support.tiny_gguf import write_gguf

pytestmark = pytest.mark.anyio

SQUARE = replace(
    TINY_PROFILE,
    sizes=(HIDDEN,),
    default_size=HIDDEN,
    heads=(f"dense {HIDDEN}->{MIDDLE}", f"dense {MIDDLE}->{HIDDEN}"),
)
SHORT_TOKENS = 40


@pytest.fixture(scope="module")
async def reference(tiny_gemma: Path, anyio_backend: str) -> AsyncGenerator[LocalEncoder, None]:
    async with aclosing(await LocalEncoder.load(str(tiny_gemma), device="cpu")) as opened:
        yield opened


@pytest.fixture(scope="module")
async def truth(reference: LocalEncoder) -> Truth:
    return await ask_truth(reference, TINY_PROFILE)


@pytest.fixture(scope="module")
async def brief(truth: Truth) -> Truth:
    return recorded_truth(short(truth.recording), TINY_PROFILE, "short texts")


@pytest.fixture(scope="module")
def server(reference: LocalEncoder) -> Generator[TEIStub, None, None]:
    with TEIStub("1.9.3", encoder=reference) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the profile, and the short texts recorded."""
    folder = tmp_path_factory.mktemp("parity")
    write_profile(TINY_PROFILE, folder / "profiles.toml")
    short(truth.recording).save(folder / "reference.json")
    return folder


def short(recording: Recording, count: int = 24) -> Recording:
    items = [item for item in recording.items if len(item.token_ids) <= SHORT_TOKENS]
    return replace(recording, items=items[:: max(1, len(items) // count)])


def layer(report: Report, name: str) -> Judged:
    return next(one for one in report.comparisons[0].layers if one.layer == name)


def number(report: Report, name: str, figure: str) -> float:
    return float(layer(report, name).figures[figure])


def failed(report: Report) -> set[str]:
    return {one.layer for one in report.comparisons[0].failed}


async def test_the_model_server_is_in_parity_with_sentence_transformers(
    server: TEIStub, truth: Truth
) -> None:
    report = await assert_parity(server.url, truth, profile=TINY_PROFILE)

    assert number(report, "vectors", "cosine_min") > 0.999999
    assert layer(report, "prompts").figures["names"] == "equal"
    assert set(layer(report, "mrl").figures) == {
        *("768", "512", "256", "128"),
        *("768_by_server", "512_by_server", "256_by_server", "128_by_server"),
    }
    assert number(report, "batches", "equal_above_257") > 0.999999
    assert layer(report, "special inputs").figures["over_the_limit"] == "refused"
    assert report.longest == TINY_PROFILE.max_tokens


async def test_bfloat16_drifts_and_stays_within_its_own_bars_alone(
    tiny_gemma: Path, truth: Truth
) -> None:
    half = await LocalEncoder.load(str(tiny_gemma), device="cpu", dtype="bfloat16")
    async with aclosing(half):
        with TEIStub("1.9.3", encoder=half, model_dtype="bfloat16") as stub:
            report = await assert_parity(stub.url, truth, profile=TINY_PROFILE)
            strict = await run_parity(
                [tei_candidate(stub.url)],
                recorded_truth(short(truth.recording, 6), TINY_PROFILE, "few"),
                TINY_PROFILE,
                dtype="float32",
            )

    assert 0.999 < number(report, "vectors", "cosine_min") < 0.99999
    assert number(report, "vectors", "cosine_mean") > 0.9999
    assert "vectors" in failed(strict)


@pytest.mark.parametrize(
    ("fault", "first", "cause"),
    [
        ("hidden-prompt", "tokens", "reads other tokens"),
        ("swapped", "order", "reach the wrong texts"),
        ("unnormalised", "norms", "does not normalise"),
        ("other-model", "vectors", "in another space"),
        ("no-dense", "answers", ""),
        ("null", "answers", ""),
        ("zero", "answers", ""),
        ("too-few", "answers", ""),
    ],
)
async def test_a_fault_of_the_server_is_named(
    server: TEIStub, brief: Truth, fault: FaultKind, first: str, cause: str
) -> None:
    server.fail(fault, times=None)
    try:
        report = await run_parity([tei_candidate(server.url)], brief, TINY_PROFILE)
    finally:
        server.heal()

    assert not report.ok
    assert report.comparisons[0].failed[0].layer == first
    assert cause in report.comparisons[0].cause


async def test_what_a_brief_recording_cannot_show_is_said(server: TEIStub, brief: Truth) -> None:
    server.fail("overloaded", path="/tokenize", times=2)  # a full server is asked again
    report = await run_parity([tei_candidate(server.url)], brief, TINY_PROFILE)
    assert not failed(report)
    told = [one.failures or one.note for one in report.comparisons[0].layers if one.layer]
    notes = " ".join(map(str, told))
    assert "no texts of one length above 257 tokens" in notes
    assert f"tokens, and the model reads {TINY_PROFILE.max_tokens}" in notes


async def test_replicas_are_compared_one_by_one(server: TEIStub, brief: Truth) -> None:
    with TEIStub("1.9.3", encoder=None) as other:
        report = await run_parity(
            [tei_candidate(server.url), tei_candidate(other.url)], brief, TINY_PROFILE
        )

    assert [one.ok for one in report.comparisons] == [True, False]
    assert not report.ok


async def test_a_whole_gateway_is_in_parity_over_http(tiny_gemma: Path, brief: Truth) -> None:
    async with whole_gateway(tiny_gemma) as url:
        opening = gateway_candidate(url, TINY_PROFILE.name, KEY)
        report = await run_parity([opening], brief, TINY_PROFILE)
        other = gateway_candidate(url, "another-profile", KEY)
        keyless = gateway_candidate(url, TINY_PROFILE.name)
        for wrong, said in ((other, "another-profile"), (keyless, "give its key")):
            with pytest.raises(ConfigurationError, match=said):
                await run_parity([wrong], brief, TINY_PROFILE)

    assert report.ok
    assert layer(report, "tokens").figures["counts"] == "equal"
    assert number(report, "mrl", "128_by_server") > 0.999999


@asynccontextmanager
async def whole_gateway(checkpoint: Path) -> AsyncGenerator[str, None]:
    encoder = await LocalEncoder.load(str(checkpoint), device="cpu")
    settings = settings_of(api_keys=KEY)
    app = create_app(settings, open_runtime=opener(profile=TINY_PROFILE, encoder=lambda: encoder))
    with live(app) as url:
        yield url
    await asyncio.sleep(0)


async def test_llama_cpp_is_in_parity_and_a_file_without_dense_layers_is_not(
    square_gemma: Path, square_gguf: Path, tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp", reason="needs the extra `dev`")
    bare = write_gguf(square_gemma, tmp_path / "no-dense.gguf", dense=False)
    async with aclosing(await LocalEncoder.load(str(square_gemma), device="cpu")) as asked:
        truth = await ask_truth(asked, SQUARE)
    few = recorded_truth(short(truth.recording), SQUARE, "short texts")

    async with llama(square_gguf, square_gemma) as encoder:
        report = await assert_parity(encoder, truth, profile=SQUARE)
    async with llama(bare, square_gemma) as encoder:
        with pytest.raises(AssertionError, match="Dense layers that were not loaded"):
            await assert_parity(encoder, few, profile=SQUARE)

    assert number(report, "vectors", "cosine_min") > 0.99999
    assert report.comparisons[0].bars.dtype == "float32"


def test_the_command_holds_a_gguf_server_against_the_checkpoint(
    square_gemma: Path, square_gguf: Path, tmp_path: Path
) -> None:
    """`gateway parity` as an operator runs it over llama.cpp: green, and red without Dense layers."""
    pytest.importorskip("xllamacpp", reason="needs the extra `dev`")
    write_profile(SQUARE, tmp_path / "profiles.toml")
    shell = Shell(tmp_path, encoder="openai", store="memory")
    bare = write_gguf(square_gemma, tmp_path / "no-dense.gguf", dense=False)
    told: dict[Path, Any] = {}
    for file in (square_gguf, bare):
        with LlamaServer(file) as server:
            settings = {
                **profile_of(tmp_path),
                "GATEWAY_PROFILE": SQUARE.name,
                "GATEWAY_OPENAI__URL": server.url,
                "GATEWAY_OPENAI__TOKENIZER": str(square_gemma),
            }
            arguments = ("--reference", str(square_gemma), "--json", "-")
            told[file] = shell.run("parity", *arguments, **settings)
    assert told[square_gguf].code == 0, told[square_gguf].err
    (candidate,) = told[square_gguf].json["candidates"]
    figures = {one["layer"]: one["figures"] for one in candidate["layers"]}
    assert figures["vectors"]["cosine_min"] > 0.99999
    assert candidate["bars"]["cosine_min"] == 0.99999
    assert candidate["bars"]["top_10"] == 0.99
    assert told[bare].code == 1, told[bare].err


@asynccontextmanager
async def llama(file: Path, tokenizer: Path) -> AsyncGenerator[OpenAIEncoder, None]:
    expect = Expectation((SQUARE.model_id,), HIDDEN, SQUARE.max_tokens, SQUARE.dtypes)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(LlamaServer(file))
        opened = await OpenAIEncoder.connect(server.url, expect=expect, tokenizer=tokenizer)
        yield await stack.enter_async_context(aclosing(opened))


async def test_the_embedded_int8_model_is_within_the_bars_of_int8(minilm_checkpoint: Path) -> None:
    async with aclosing(await LocalEncoder.load(str(minilm_checkpoint), device="cpu")) as full:
        recording = short(await record(full, ALL_MINILM_L6_V2))
    async with aclosing(await MiniLMEncoder.load()) as small:
        report = await assert_parity(small, recording, profile=ALL_MINILM_L6_V2)

    assert report.comparisons[0].bars.dtype == "int8"


def test_the_assertion_can_be_made_from_a_plain_test(server: TEIStub, files: Path) -> None:
    reference = files / "reference.json"

    assert assert_parity_sync(server.url, reference, profile=TINY_PROFILE).ok


def test_the_command_records_compares_and_tells_by_its_exit_code(
    server: TEIStub, files: Path, tmp_path: Path
) -> None:
    shell = Shell(tmp_path)
    page, xml, told = (tmp_path / f"parity.{kind}" for kind in ("html", "xml", "json"))

    good = parity(shell, files, server.url, "--html", str(page), "--junit", str(xml))
    server.fail("other-model", times=None)
    bad = parity(shell, files, server.url, "--json", "-")
    written = parity(shell, files, server.url, "--json", str(told))
    server.heal()
    nobody = parity(shell, files, "http://127.0.0.1:9")
    half = parity(shell, files, server.url, "--dtype", "float16")
    both = parity(shell, files, server.url, "--reference", str(files))

    assert (good.code, bad.code, written.code) == (0, 1, 1)
    assert (nobody.code, half.code, both.code) == (2, 2, 2)
    assert "IN PARITY" in good.out
    assert "asking each text alone" in good.err
    assert "<h1>In parity</h1>" in page.read_text(encoding="utf-8")
    assert 'failures="0"' in xml.read_text(encoding="utf-8")
    assert bad.json["candidates"][0]["cause"].startswith("Texts lie to one another")
    assert "NOT IN PARITY" in written.out
    assert "cannot be reached" in nobody.err


def test_the_command_records_a_reference_and_holds_the_configured_encoder_against_it(
    tiny_gemma: Path, files: Path, tmp_path: Path
) -> None:
    shell = Shell(tmp_path)
    environment = profile_of(files)
    file = tmp_path / "recorded.json"

    recorded = shell.run(
        "parity", "record", "--reference", str(tiny_gemma), "--out", str(file), **environment
    )
    fake = shell.run("parity", "--recording", str(file), **environment)
    nothing = shell.run("parity", "--recording", "nowhere.json", **environment)

    assert recorded.code == 0
    assert {item.task for item in Recording.load(file).items} == set(TINY_PROFILE.tasks)
    assert fake.code == 1
    assert "reads other tokens" in fake.out
    assert nothing.code == 2
    assert "no readable recording" in nothing.err


def parity(shell: Shell, files: Path, url: str, *more: str) -> Any:
    arguments: Sequence[str] = ("--tei", url, "--recording", str(files / "reference.json"), *more)
    return shell.run("parity", *arguments, **profile_of(files))


def profile_of(files: Path) -> dict[str, str]:
    return {
        "GATEWAY_PROFILES_FILE": str(files / "profiles.toml"),
        "GATEWAY_PROFILE": TINY_PROFILE.name,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
