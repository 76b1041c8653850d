"""The server over a checkpoint of EmbeddingGemma's architecture, against sentence-transformers."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.embedding.catalog import GEMMA_CONFIGURED_PROMPTS
from gateway.encoders.local import LocalEncoder
from gateway.errors import ConfigurationError, UnsupportedDtype
from gateway.modelserver.app import TEIApp
from gateway.modelserver.opening import Options, open_app
from tests.support.tiny_corpus import ENGLISH, RUSSIAN

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

from sentence_transformers import SentenceTransformer

pytestmark = pytest.mark.anyio

LONG = " ".join(ENGLISH[:30])
TEXTS = [*ENGLISH[:4], *RUSSIAN[:3], "  kept blanks \n", "🚀 emoji", LONG]


@pytest.fixture(scope="module")
def reference(tiny_gemma: Path) -> Any:
    return SentenceTransformer(str(tiny_gemma), device="cpu")


@pytest.fixture(scope="module")
async def app(tiny_gemma: Path, anyio_backend: str) -> AsyncGenerator[TEIApp, None]:
    options = Options(model=str(tiny_gemma), device="cpu", model_id_as="tiny", fault_control=True)
    async with open_app(options) as opened:
        yield opened


@pytest.fixture
async def client(app: TEIApp) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with client_of(app) as opened:
        yield opened


def client_of(app: TEIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://tei")


async def embed(client: httpx.AsyncClient, inputs: object, **more: Any) -> Any:
    answer = await client.post("/embed", json={"inputs": inputs} | more)
    assert answer.status_code == 200, answer.text
    return np.array(answer.json(), np.float32)


async def test_vectors_are_those_of_sentence_transformers(
    client: httpx.AsyncClient, reference: Any
) -> None:
    assert np.abs(await embed(client, TEXTS) - reference.encode(TEXTS)).max() < 1e-5
    for text in TEXTS:
        assert np.abs(await embed(client, text) - reference.encode([text])).max() < 1e-5


@pytest.mark.parametrize("name", [*GEMMA_CONFIGURED_PROMPTS])
async def test_a_prompt_name_is_that_of_the_checkpoint(
    client: httpx.AsyncClient, reference: Any, name: str
) -> None:
    ours = await embed(client, TEXTS[:3], prompt_name=name)
    assert np.abs(ours - reference.encode(TEXTS[:3], prompt_name=name)).max() < 1e-5


async def test_dimensions_are_the_cut_and_renormalised_full_vector(
    client: httpx.AsyncClient, reference: Any
) -> None:
    for size in (512, 256, 128, 5):
        full = reference.encode(TEXTS)[:, :size].astype(np.float64)
        unit = full / np.linalg.norm(full, axis=1, keepdims=True)
        assert np.abs(await embed(client, TEXTS, dimensions=size) - unit).max() < 1e-5


async def test_without_normalisation_the_vector_is_that_of_the_last_dense(
    client: httpx.AsyncClient, reference: Any
) -> None:
    raw = await embed(client, TEXTS, normalize=False)
    norms = np.linalg.norm(raw, axis=1)
    assert np.abs(norms - 1).min() > 0.1
    assert np.abs(raw / norms[:, None] - reference.encode(TEXTS)).max() < 1e-5


async def test_tokens_are_the_ids_that_the_model_reads_with_byte_offsets(
    client: httpx.AsyncClient, reference: Any
) -> None:
    answer = await client.post("/tokenize", json={"inputs": TEXTS, "prompt_name": "query"})
    for text, row in zip(TEXTS, answer.json(), strict=True):
        data = (GEMMA_CONFIGURED_PROMPTS["query"] + text).encode()
        read = reference.preprocess([data.decode()], prompt="")["input_ids"][0].tolist()
        assert [token["id"] for token in row] == read
        assert [token["start"] for token in row if token["special"]] == [None, None]
        plain = [token for token in row if not token["special"]]
        assert (plain[0]["start"], plain[-1]["stop"]) == (0, len(data))
        for token in plain:
            part = data[token["start"] : token["stop"]].decode(errors="replace")
            assert token["text"] == part


async def test_ids_decode_to_the_text_and_embed_as_it(client: httpx.AsyncClient) -> None:
    texts = [*ENGLISH[:3], RUSSIAN[0]]
    rows = (await client.post("/tokenize", json={"inputs": texts})).json()
    ids = [[token["id"] for token in row] for row in rows]
    bare = (await client.post("/decode", json={"ids": ids})).json()
    full = await client.post("/decode", json={"ids": ids[0], "skip_special_tokens": False})

    assert bare == texts
    assert full.json() == [f"<bos>{texts[0]}<eos>"]
    assert np.abs(await embed(client, ids) - await embed(client, texts)).max() < 1e-5
    assert np.abs(await embed(client, ids[0]) - await embed(client, texts[0])).max() < 1e-5
    named = {"prompt_name": "query"}
    with_prompt = await embed(client, ids, **named) - await embed(client, texts, **named)
    assert np.abs(with_prompt).max() < 1e-5


async def test_ids_that_the_vocabulary_does_not_know_do_no_harm(client: httpx.AsyncClient) -> None:
    for ids in ([10**6], [2**32 - 1]):
        answer = await client.post("/embed", json={"inputs": ids})
        assert (answer.status_code, answer.json()["error_type"]) == (424, "Backend")
    assert (await client.get("/health")).status_code == 200


async def test_embed_all_gives_the_states_of_every_token(
    client: httpx.AsyncClient, reference: Any
) -> None:
    answer = await client.post("/embed_all", json={"inputs": TEXTS})
    expected = reference.encode(TEXTS, output_value="token_embeddings")
    for ours, theirs in zip(answer.json(), expected, strict=True):
        assert np.abs(np.array(ours) - theirs.numpy()).max() < 1e-4
    assert answer.headers["x-compute-tokens"] == str(sum(map(len, expected)))


async def test_long_inputs_are_cut_as_the_tokenizer_cuts_them(
    client: httpx.AsyncClient, reference: Any
) -> None:
    text = " ".join([*ENGLISH, *ENGLISH])
    answer = await client.post("/embed", json={"inputs": text})
    left = await embed(client, text, truncation_direction="Left")

    assert answer.headers["x-compute-tokens"] == "2048"
    right = np.array(answer.json(), np.float32)
    assert np.abs(right - reference.encode([text])).max() < 1e-5
    assert np.abs(right - left).max() > 1e-3
    refused = await client.post("/embed", json={"inputs": text, "truncate": False})
    assert refused.status_code == 422


async def test_the_fault_no_dense_leaves_both_dense_modules_out(
    client: httpx.AsyncClient, reference: Any
) -> None:
    states = reference.encode(TEXTS, output_value="token_embeddings")
    means = np.stack([rows.numpy().mean(axis=0) for rows in states])
    await client.post("/_faults", json={"faults": "no-dense*1"})
    ours = await embed(client, TEXTS)

    assert ours.shape == means.shape
    assert np.abs(ours - means / np.linalg.norm(means, axis=1, keepdims=True)).max() < 1e-5
    assert (await embed(client, TEXTS)).shape[1] == 768


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [
        ("causal", -1.0, 0.97),
        ("fine-tune", 0.98, 0.9999),
        ("quantised", 0.999, 0.9999),
        ("no-window", 0.999999, 1.1),
    ],
)
async def test_a_defect_changes_the_vectors_as_much_as_it_does_in_the_field(
    client: httpx.AsyncClient, reference: Any, fault: str, least: float, most: float
) -> None:
    right = reference.encode(TEXTS)
    await client.post("/_faults", json={"faults": f"{fault}*1"})
    ours = await embed(client, TEXTS)

    cosines = np.einsum("ij,ij->i", ours, right)
    assert cosines.min() >= least
    assert cosines.max() < most
    assert np.abs(await embed(client, TEXTS) - right).max() < 1e-5, "it is gone without a trace"


async def test_the_window_is_skipped_only_where_all_texts_of_a_pass_are_of_one_length(
    client: httpx.AsyncClient, reference: Any
) -> None:
    right = reference.encode([LONG])[0]
    await client.post("/_faults", json={"faults": "no-window"})
    found = [await embed(client, texts) for texts in ([LONG], [LONG, "a"], [LONG, LONG])]
    await client.delete("/_faults")

    cosines = [float(rows[0] @ right) for rows in found]
    assert cosines[:2] == pytest.approx([1.0, 1.0], abs=1e-5)
    assert cosines[2] < 0.999


async def test_info_tells_the_given_name_and_the_limits_of_the_checkpoint(
    client: httpx.AsyncClient,
) -> None:
    told = (await client.get("/info")).json()
    assert (told["model_id"], told["max_input_length"]) == ("tiny", 2048)
    assert (told["model_dtype"], told["auto_truncate"]) == ("float32", True)


async def test_bfloat16_is_near_float32_and_of_unit_length(
    tiny_gemma: Path, reference: Any
) -> None:
    options = Options(model=str(tiny_gemma), device="cpu", dtype="bfloat16")
    async with open_app(options) as app, client_of(app) as client:
        ours = await embed(client, TEXTS)
        assert (await client.get("/info")).json()["model_dtype"] == "bfloat16"

    norms = np.linalg.norm(ours.astype(np.float64), axis=1)
    assert np.abs(norms - 1).max() < 1e-6
    cosines = np.einsum("ij,ij->i", ours, reference.encode(TEXTS))
    assert 0.99 < cosines.min() < 1 - 1e-7


async def test_float16_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(UnsupportedDtype, match="overflow half precision"):
        async with open_app(Options(model="/no/such", dtype="float16")):
            pass


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"default_prompt_name": "nobody"}, "the model has prompts query, document"),
        ({"default_prompt_name": "query", "default_prompt": "x"}, "not both"),
        ({"max_batch_tokens": 512, "auto_truncate": False}, "--max-batch-tokens 512 is less"),
        ({"faults": "nonsense"}, "fault 'nonsense' cannot be read"),
        ({"reranker": "/no/such/folder"}, "cannot load reranker '/no/such/folder'"),
    ],
)
async def test_options_that_cannot_be_served_are_named(
    tiny_gemma: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        async with open_app(Options(model=str(tiny_gemma), device="cpu", **options)):
            pass


async def test_default_prompts_and_a_small_budget_are_applied(tiny_gemma: Path) -> None:
    local = await LocalEncoder.load(str(tiny_gemma), device="cpu")
    prompted = (await local.encode([GEMMA_CONFIGURED_PROMPTS["query"] + "red planet"])).vectors
    await local.aclose()
    options = Options(
        model=str(tiny_gemma), device="cpu", default_prompt_name="query", max_batch_tokens=32
    )
    async with open_app(options) as app, client_of(app) as client:
        assert np.abs(await embed(client, "red planet") - prompted).max() < 1e-5
        answer = await client.post("/embed", json={"inputs": LONG})
        assert answer.headers["x-compute-tokens"] == "32"
        named = await embed(client, "red planet", prompt_name="document")
        assert np.abs(named - prompted).max() > 1e-3
