"""What the model reads: the right prompt once, the title, and the text as it is."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from litestar.testing import TestClient

from gateway.api.app import create_app
from gateway.domain.documents import Document
from gateway.embedding.profile import ModelProfile
from gateway.encoders.local import LocalEncoder
from gateway.vectorstores.memory import MemoryStore
from tests.silent_faults.conftest import TINY_PROFILE, Server, profile_toml
from tests.silent_faults.marks import injects
from tests.silent_faults.middlemen import changing
from tests.silent_faults.trial import NAME, Bench, over, written
from tests.support.tiny_corpus import ENGLISH

pytestmark = pytest.mark.anyio

QUERY: Final = TINY_PROFILE.prompts["query"]
DOCUMENT: Final = TINY_PROFILE.prompts["document"]
PROMPTS: Final = dict(TINY_PROFILE.prompts)
QUOTED: Final = 'title: "none" | text: '
CHANGES: Final[dict[str, Callable[[str], str]]] = {
    "missing-prompt": lambda text: re.sub(r"^(task|title): .*?: ", "", text),
    "query-prompt-on-documents": lambda text: text.replace(DOCUMENT, QUERY),
    "quoted-none": lambda text: text.replace(DOCUMENT, QUOTED),
    "whitespace-rewritten": lambda text: text.replace("\n", " "),
    "title-dropped": lambda text: re.sub(r"^title: .*? \| ", "title: none | ", text),
}
PROFILES: Final[dict[str, dict[str, Any]]] = {
    "quoted-none": {"prompts": PROMPTS | {"document": QUOTED}},
    "missing-prompt": {"prompts": PROMPTS | {"query": ""}},
    "query-prompt-on-documents": {"prompts": PROMPTS | {"document": QUERY}},
    "title-dropped": {"title_rule": None},
}


@injects(*CHANGES)
async def test_a_server_that_changes_what_the_model_reads_is_refused(
    bench: Bench, server: Server, tiny_encoder: LocalEncoder, fault: str
) -> None:
    with server(**changing(tiny_encoder, CHANGES[fault])) as wrong:
        outcome = await bench.tried(bench.configured(tei={"urls": [wrong.url]}))
    outcome.require_caught("a recorded text a vector of cosine")


@injects("whitespace-rewritten")
async def test_a_server_that_rewrites_blanks_wherever_it_reads_is_refused(
    bench: Bench, server: Server
) -> None:
    with server() as wrong:
        wrong.fail("rewrites-whitespace", times=None)
        wrong.fail("rewrites-whitespace", times=None, path="/tokenize")
        outcome = await bench.tried(bench.configured(tei={"urls": [wrong.url]}))
    outcome.require_caught("reads a recorded text as .* rewrites texts")


@injects(*PROFILES)
async def test_a_profile_with_another_prompt_is_another_space(
    bench: Bench, server: Server, tmp_path: Path, fault: str
) -> None:
    wrong = profile_file(tmp_path, replace(TINY_PROFILE, **PROFILES[fault]))
    store = MemoryStore()
    with server() as healthy:
        tei = {"urls": [healthy.url]}
        right = await bench.tried(bench.configured(tei=tei), opener=over(store))
        recorded = bench.configured(tei=tei, profiles_file=str(wrong))
        refused = await bench.tried(recorded, opener=over(store))
        unrecorded = bench.configured(tei=tei, profiles_file=str(wrong), recording=None)
        outcome = await bench.tried(unrecorded, opener=over(store))
    right.require_harmless()
    refused.require_caught("record the reference of that profile")
    outcome.require_caught("space-mismatch")
    assert outcome.hits == 0
    assert outcome.points == right.points


@injects("prompted-text")
async def test_texts_and_titles_that_carry_a_prompt_are_refused_one_by_one(
    bench: Bench, server: Server
) -> None:
    documents = [
        Document("prompted", DOCUMENT + "Mars is red."),
        Document("asked", QUERY + "Mars is red."),
        Document("titled", "title: Mars | text: It is red."),
        Document("in-title", "It is red.", title="Mars | text: Venus"),
        Document("bare", ENGLISH[1]),
    ]
    with server() as healthy:
        outcome = await bench.tried(
            bench.configured(tei={"urls": [healthy.url]}),
            documents=documents,
            queries=[QUERY + "red planet", DOCUMENT + "red planet"],
        )
    outcome.require_caught("double-prompt")
    assert (outcome.points, outcome.hits) == (1, 0)
    assert len(outcome.refusals) == 6


@injects("missing-prompt", "query-prompt-on-documents")
def test_a_caller_who_says_no_task_is_refused_or_gets_the_operators_never_for_documents(
    bench: Bench, server: Server, fault: str
) -> None:
    model = TINY_PROFILE.name
    documents = [{"id": "mars", "text": ENGLISH[1]}]
    default = {"missing-prompt": None, "query-prompt-on-documents": "query"}[fault]
    with server() as healthy:
        settings = bench.configured(tei={"urls": [healthy.url]}, server={"default_task": default})
        with TestClient(create_app(settings)) as client:
            bare = client.post("/v1/embeddings", json={"model": model, "input": ENGLISH[1]})
            told = client.post(
                "/v1/embeddings", json={"model": f"{model}:query", "input": ENGLISH[1]}
            )
            client.put(f"/api/v1/collections/{NAME}", json={})
            client.post(f"/api/v1/collections/{NAME}/documents", json=documents)
            found = client.post(
                f"/api/v1/collections/{NAME}/search",
                json={"query": ENGLISH[1], "mode": "dense"},
            ).json()
    query = bench.reference.query(ENGLISH[1], bench.size)
    assert np.allclose(told.json()["data"][0]["embedding"], query, atol=1e-5)
    if default is None:
        assert bare.json()["error"]["code"] == "task_required"
    else:
        assert bare.json()["data"] == told.json()["data"]
    right = query @ bench.reference.document(ENGLISH[1], None, bench.size)
    assert found["hits"][0]["score"] == pytest.approx(right, abs=1e-4)


@injects("token-ids")
def test_token_ids_are_refused(bench: Bench, server: Server) -> None:
    with server() as healthy:
        settings = bench.configured(tei={"urls": [healthy.url]})
        with TestClient(create_app(settings)) as client:
            for given in ([2, 5, 1], [[2, 5, 1], [2, 6, 1]]):
                body = {"model": f"{TINY_PROFILE.name}:query", "input": given}
                answer = client.post("/v1/embeddings", json=body)
                assert answer.status_code == 400
                assert answer.json()["error"]["code"] == "token_ids_refused"
                assert "data" not in answer.json()


def profile_file(folder: Path, profile: ModelProfile) -> Path:
    return written(folder / "profiles.toml", profile_toml(profile))
