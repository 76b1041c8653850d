"""The command line refuses another model's collection: by process on disk, in one process elsewhere."""

import json
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.embedding.catalog import EMBEDDING_GEMMA_2, EMBEDDING_GEMMA_300M
from gateway.events import Sink
from gateway.ports import VectorStore
from gateway.settings import Settings
from gateway.vectorstores.memory import MemoryStore
from gateway.vectorstores.qdrant import QdrantStore
from gateway.wiring import stores
from tests.support.cli import Shell

NAMES = (EMBEDDING_GEMMA_300M.name, EMBEDDING_GEMMA_2.name)
SPACES = tuple(p.fingerprint("fake") for p in (EMBEDDING_GEMMA_300M, EMBEDDING_GEMMA_2))


class _Kept(QdrantStore):
    """Outlives a command, as a server does."""

    async def aclose(self) -> None:
        """Close nothing: the client in memory would forget all."""


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["300m then 2", "2 then 300m"])
def test_on_disk_another_gemma_may_neither_ingest_nor_search(
    tmp_path: Path, order: tuple[int, int]
) -> None:
    writer, reader = order
    shell = Shell(tmp_path)
    shell.write("mars.txt", "Mars is the red planet.")
    first = shell.run("ingest", "mars.txt", "-c", "c", GATEWAY_PROFILE=NAMES[writer])
    assert first.code == 0, first.err
    for command in (("ingest", "mars.txt", "-c", "c"), ("search", "red", "-c", "c")):
        refused = shell.run(*command, GATEWAY_PROFILE=NAMES[reader], COLUMNS="1000")
        assert refused.code == 2
        assert "space-mismatch" in refused.err
        assert all(space in refused.err for space in SPACES)
        assert "ingest into a new collection" in refused.err
    again = shell.run("search", "red", "-c", "c", "--json", GATEWAY_PROFILE=NAMES[writer])
    assert len(again.json["hits"]) == 1


@pytest.mark.parametrize("kind", ["memory", "qdrant"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["300m then 2", "2 then 300m"])
def test_elsewhere_another_gemma_may_neither_ingest_nor_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, order: tuple[int, int]
) -> None:
    writer, reader = order
    store: VectorStore = (
        MemoryStore() if kind == "memory" else _Kept.over(AsyncQdrantClient(":memory:"))
    )

    async def opened(_settings: Settings, _sink: Sink) -> VectorStore:
        return store

    monkeypatch.setitem(stores.STORES, "memory", opened)
    monkeypatch.chdir(tmp_path)
    Path("mars.txt").write_text("Mars is the red planet.", encoding="utf-8")
    ingest, search = ["ingest", "mars.txt", "-c", "c"], ["search", "red", "-c", "c", "--json"]

    assert ran(NAMES[writer], ingest) == (0, "")
    for command in (ingest, search):
        code, said = ran(NAMES[reader], command)
        assert code == 2
        assert all(space in said for space in SPACES)
    assert ran(NAMES[writer], search) == (0, "")


def test_profile_show_prints_every_ingredient_and_the_digest(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shown = shell.run("profile", "show", NAMES[0], "--json", GATEWAY_OPENAI__QUANTIZATION="q8_0")
    facts = shown.json
    assert facts["space"] == "embeddinggemma-300m:6eb5cdcd03008f93"
    assert facts["spaces"] == {
        "tei": facts["space"],
        "openai": EMBEDDING_GEMMA_300M.fingerprint(quantization="q8_0"),
        "local": facts["space"],
        "fake": SPACES[0],
    }
    assert facts["fingerprint_of"]["prompts"] == facts["prompts"]
    assert {"model_id", "revision", "pooling", "heads", "title_rule", "max_tokens", "full_size"} < {
        *facts["fingerprint_of"]
    }
    text = shell.run("profile", "show", NAMES[0]).out
    assert "embeddinggemma-300m:6eb5cdcd03008f93" in text
    assert f"prompt_set: {facts['prompt_set']}" in text
    assert all(f"  {name}: " in text for name in facts["fingerprint_of"])


def ran(profile: str, command: list[str]) -> tuple[int, str]:
    """Run a command in this process; return its exit code and what it said of errors."""
    environ = {"GATEWAY_PROFILE": profile, "GATEWAY_ENCODER": "fake", "GATEWAY_STORE": "memory"}
    result = CliRunner().invoke(app, command, env=environ | {"COLUMNS": "1000"})
    if command[0] == "search" and result.exit_code == 0:
        assert len(json.loads(result.stdout)["hits"]) == 1
    return result.exit_code, result.stderr if result.exit_code else ""
