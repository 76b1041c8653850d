"""The encoder over TEI: who is let in, who is asked, what gets through to an Embedder."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from gateway.embedding.catalog import EMBEDDING_GEMMA_300M
from gateway.embedding.embedder import Embedder
from gateway.embedding.profile import Task
from gateway.embedding.texts import Input
from gateway.encoders.fake import FakeEncoder
from gateway.encoders.tei import Expectation, TEIEncoder, Wiring
from gateway.errors import (
    ConfigurationError,
    DegenerateVector,
    InputTooLong,
    UnsupportedServer,
    UpstreamUnavailable,
)
from gateway.modelserver.contract import Contract
from gateway.modelserver.engines import EncodeRows
from gateway.modelserver.faults import FaultKind
from gateway.modelserver.replies import Rows
from tests.support.tei_stub import TEIStub, hashed_rows

pytestmark = pytest.mark.anyio

EXPECT = Expectation(
    ("google/embeddinggemma-300m", "unsloth/embeddinggemma-300m"),
    768,
    2048,
    ("float32", "bfloat16"),
)


@asynccontextmanager
async def encoder_of(
    *stubs: TEIStub, expect: Expectation = EXPECT, **options: Any
) -> AsyncGenerator[TEIEncoder]:
    tokenizer = options.pop("tokenizer", None)
    wiring = Wiring(**options)
    encoder = await TEIEncoder.connect(
        [stub.url for stub in stubs], expect=expect, tokenizer=tokenizer, wiring=wiring
    )
    try:
        yield encoder
    finally:
        await encoder.aclose()


async def test_it_says_what_it_serves_and_by_which_servers() -> None:
    with TEIStub() as one, TEIStub("1.8.3") as two:
        async with encoder_of(one, two) as encoder:
            info = encoder.info
            assert (info.kind, info.model_id) == ("tei", EXPECT.model_ids[0])
            assert (info.size, info.max_tokens, info.dtype) == (768, 2048, "float32")
            assert dict(info.details)["urls"] == "2"
            assert dict(info.details)["versions"] == "1.8.3, 1.9.3"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"contract": "1.8.0"}, "1.8.0.*1.9.3"),
        ({"contract": "1.7.4"}, "1.7.4.*1.9.3"),
        ({"contract": "1.8.1", "model_id": "/data/gemma"}, "Dense.*1.9.3"),
        ({"contract": "1.8.2", "model_id": "./gemma"}, "Dense.*1.9.3"),
        ({"model_dtype": "float16"}, "float16.*--dtype float32"),
        ({"model_dtype": "int8"}, "int8.*float32"),
        ({"model_id": "BAAI/bge-m3"}, "bge-m3.*embeddinggemma-300m"),
        ({"model_type": {"reranker": {"id2label": {}, "label2id": {}}}}, "reranker"),
        ({"auto_truncate": True, "max_input_length": 512}, "512.*--auto-truncate false"),
        ({"encoder": FakeEncoder(size=384)}, "384.*768.*Dense"),
    ],
)
async def test_a_server_that_would_answer_wrongly_is_refused_at_once(
    options: dict[str, Any], told: str
) -> None:
    with TEIStub(**options) as stub, pytest.raises(UnsupportedServer, match=told) as caught:
        async with encoder_of(stub):
            pass
    assert stub.url in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"contract": "1.8.1"},
        {"contract": "1.8.3", "model_id": "/data/gemma"},
        {"contract": "1.10.0"},
        {"model_dtype": "bfloat16"},
        {"model_id": "unsloth/embeddinggemma-300m"},
        {"auto_truncate": True},
        {"max_input_length": 512},
    ],
)
async def test_a_server_that_answers_rightly_is_let_in(options: dict[str, Any]) -> None:
    with TEIStub(**options) as stub:
        async with encoder_of(stub) as encoder:
            assert (await encoder.encode(["a"])).vectors.shape == (1, 768)


async def test_a_server_with_a_prompt_of_its_own_is_refused() -> None:
    class Prompting(FakeEncoder):
        async def count_tokens(self, texts: Sequence[str]) -> list[int]:
            return await super().count_tokens([f"title: none | text: {text}" for text in texts])

    with (
        TEIStub(encoder=Prompting()) as stub,
        pytest.raises(UnsupportedServer, match="--default-prompt"),
    ):
        async with encoder_of(stub):
            pass


async def test_something_that_is_no_tei_is_refused() -> None:
    with TEIStub() as stub:
        stub.fail("not-json", path="/info")
        with pytest.raises(UnsupportedServer, match="does not answer as TEI"):
            async with encoder_of(stub):
                pass
        with pytest.raises(UnsupportedServer, match="404"):
            await TEIEncoder.connect([stub.url + "/wrong"], expect=EXPECT)


async def test_a_wrong_or_missing_key_is_told_without_the_key() -> None:
    with TEIStub(api_key="s3cret") as stub:
        for key in (None, "wr0ng"):
            with pytest.raises(ConfigurationError, match="401") as caught:
                async with encoder_of(stub, api_key=key):
                    pass
            assert "wr0ng" not in str(caught.value)
        async with encoder_of(stub, api_key="s3cret") as encoder:
            assert (await encoder.encode(["a"])).tokens == 3
            health = await encoder.health()
            assert health.ok
            assert "s3cret" not in repr((health, encoder.info))


async def test_addresses_are_needed() -> None:
    with pytest.raises(ConfigurationError, match="address"):
        await TEIEncoder.connect([], expect=EXPECT)


async def test_a_server_may_come_late_and_is_verified_then() -> None:
    stub = TEIStub()
    async with encoder_of(stub) as encoder:
        health = await encoder.health()
        assert not health.ok
        assert stub.url in health.detail
        with pytest.raises(UpstreamUnavailable) as caught:
            await encoder.encode(["a"])
        assert caught.value.retry_after_seconds is not None
        assert dict(encoder.info.details)["verified"] == "0"
        with stub:
            assert (await encoder.health()).ok
            assert (await encoder.encode(["a"])).vectors.shape == (1, 768)
            assert dict(encoder.info.details)["versions"] == "1.9.3"


async def test_a_wrong_server_that_comes_late_gives_nothing() -> None:
    stub = TEIStub(model_dtype="float16")
    async with encoder_of(stub) as encoder:
        with stub:
            with pytest.raises(UnsupportedServer, match="float16"):
                await encoder.encode(["a"])
            health = await encoder.health()
            assert not health.ok
            assert "float16" in health.detail


async def test_a_dead_replica_is_passed_over_and_its_work_done_by_another() -> None:
    texts = ["one", "two"]
    one, two = TEIStub(), TEIStub()
    with two, one:
        async with encoder_of(one, two) as encoder:
            expected = (await encoder.encode(texts)).vectors
            one.__exit__(None, None, None)
            for _ in range(4):
                assert np.array_equal((await encoder.encode(texts)).vectors, expected)
            health = await encoder.health()
            assert health.ok
            assert f"TEI at {one.url} cannot be reached" in health.detail
            one.__enter__()


async def test_the_replica_with_fewer_inputs_in_flight_is_chosen() -> None:
    seen: list[list[str]] = [[], []]

    def noting(texts_of: list[str]) -> EncodeRows:
        async def encode(texts: Sequence[str]) -> Rows:
            texts_of.extend(text for text in texts if text.startswith("text"))
            return await hashed_rows(texts)

        return encode

    with (
        TEIStub(latency=0.5, encoder=noting(seen[0])) as one,
        TEIStub(latency=0.5, encoder=noting(seen[1])) as two,
    ):
        async with encoder_of(one, two) as encoder:
            await asyncio.gather(*(encoder.encode([f"text {n}"]) for n in range(10)))
    assert [len(texts) for texts in seen] == [5, 5]


async def test_a_replica_that_turns_wrong_does_not_stop_the_others() -> None:
    one, two = TEIStub(), TEIStub()
    with two, one:
        async with encoder_of(one, two) as encoder:
            await encoder.encode(["a"])
            one.__exit__(None, None, None)
            with TEIStub(port=one.port, model_id="BAAI/bge-m3") as wrong:
                for _ in range(3):
                    assert (await encoder.encode(["a"])).vectors.shape == (1, 768)
                assert "bge-m3" in (await encoder.health()).detail
                assert encoder.ready == [two.url]
                assert len(wrong.log.requests) <= 1
            one.__enter__()


async def test_health_alone_notices_a_replica_that_was_exchanged() -> None:
    one, two = TEIStub(), TEIStub()
    with two, one:
        async with encoder_of(one, two) as encoder:
            one.__exit__(None, None, None)
            with TEIStub(port=one.port, model_id="BAAI/bge-m3"):
                health = await encoder.health()
                assert health.ok
                assert "bge-m3" in health.detail
                assert encoder.ready == [two.url]
            one.__enter__()


@pytest.mark.parametrize("auto_truncate", [True, False])
async def test_an_over_long_text_is_an_error_and_never_cut(auto_truncate: bool) -> None:
    with TEIStub(encoder=FakeEncoder(), auto_truncate=auto_truncate) as stub:
        async with encoder_of(stub) as encoder:
            fits = "word " * 2046
            assert (await encoder.encode([fits])).tokens == 2048
            encoding = await encoder.encode(["a", fits + "word"])
            with pytest.raises(InputTooLong) as caught:
                assert encoding.vectors.shape
            assert caught.value.index == 1
            assert await encoder.count_tokens([fits + "word"]) == [2049]


@pytest.mark.parametrize("kind", ["null", "zero", "short-rows", "too-few"])
async def test_no_broken_vector_gets_through_an_embedder(kind: FaultKind) -> None:
    with TEIStub(encoder=FakeEncoder()) as stub:
        async with encoder_of(stub) as encoder:
            embedder = Embedder(EMBEDDING_GEMMA_300M, encoder)
            inputs = [Input("one"), Input("two"), Input("six")]
            good = await embedder.embed(Task.DOCUMENT, inputs)
            assert np.allclose(np.linalg.norm(good.vectors, axis=1), 1.0, atol=1e-6)
            stub.fail(kind, times=2)
            with pytest.raises(Exception, match=r"vector|direction|shape") as caught:
                await embedder.embed(Task.DOCUMENT, inputs)
            if kind in {"null", "zero"}:
                assert isinstance(caught.value, DegenerateVector)
                assert caught.value.index == 1


async def test_vectors_and_tokens_equal_those_of_the_encoder_behind_the_server() -> None:
    texts = [f"Документ {index}: the quick brown fox, {index * 7} times" for index in range(50)]
    fake = FakeEncoder()
    with TEIStub(encoder=fake) as stub:
        async with encoder_of(stub) as encoder:
            served, direct = await encoder.encode(texts), await fake.encode(texts)
            cosines = np.sum(served.vectors * direct.vectors, axis=1) / np.linalg.norm(
                direct.vectors, axis=1
            )
            assert cosines.min() > 1 - 1e-6
            assert served.tokens == direct.tokens
            assert await encoder.count_tokens(texts) == await fake.count_tokens(texts)


async def test_the_blocking_counter_asks_the_server_from_a_worker_thread() -> None:
    with TEIStub() as stub:
        async with encoder_of(stub) as encoder:
            count = encoder.token_counter()
            assert await asyncio.to_thread(count, "three words here") == 5
            asked = stub.log.paths.count("/tokenize")
            assert await asyncio.to_thread(count, "three words here") == 5
            assert stub.log.paths.count("/tokenize") == asked
            with pytest.raises(RuntimeError, match="event loop"):
                count("would wait for itself")


def tokenizer(*, mark: str = "") -> Tokenizer:
    """A tokenizer of bytes, so that it reads anything; `mark` makes it another one."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate(["<bos>", "<eos>", mark, *letters])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 0), ("<eos>", 1)]
    )
    made.enable_truncation(16)  # pyright: ignore[reportUnknownMemberType]
    return made


async def test_a_local_tokenizer_counts_without_the_server(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    tokenizer(mark="#1").save(str(file))
    served = Tokenizer.from_file(str(file))
    served.no_truncation()
    with TEIStub(tokenizer=served) as stub:
        async with encoder_of(stub, tokenizer=file) as encoder:
            checked = stub.log.paths.count("/tokenize")
            assert checked == 3, "the probe strings, and a text of the whole context, made shorter"
            assert await encoder.count_tokens(["a" * 100, "ж"]) == [102, 4]
            count = encoder.token_counter()
            assert await asyncio.to_thread(count, "abc") == 5
            assert stub.log.paths.count("/tokenize") == checked


async def test_another_models_tokenizer_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    tokenizer(mark="#1").save(str(file))
    with TEIStub() as stub, pytest.raises(ConfigurationError, match=r"tokenizer\.json"):
        async with encoder_of(stub, tokenizer=file):
            pass


async def test_a_tokenizer_is_found_in_a_hub_cache(tmp_path: Path) -> None:
    made = tokenizer(mark="#1")
    cache = tmp_path / "hub" / "models--google--embeddinggemma-300m"
    for revision in ("new", "pinned"):
        (cache / "snapshots" / revision).mkdir(parents=True)
    made.save(str(cache / "snapshots" / "pinned" / "tokenizer.json"))
    (cache / "snapshots" / "new" / "tokenizer.json").write_text("{}")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("pinned\n")
    stub = TEIStub()
    async with encoder_of(stub, tokenizer=tmp_path) as encoder:
        assert await encoder.count_tokens(["abc"]) == [5]
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, told in ((empty, "no tokenizer.json"), (tmp_path / "absent", "no tokenizer.json")):
        with pytest.raises(ConfigurationError, match=told):
            async with encoder_of(stub, tokenizer=path):
                pass
    broken = tmp_path / "tokenizer.json"
    broken.write_text(json.dumps({"not": "a tokenizer"}))
    with pytest.raises(ConfigurationError, match="readable"):
        async with encoder_of(stub, tokenizer=broken):
            pass


async def test_a_smaller_expectation_serves_another_model() -> None:
    expect = replace(EXPECT, model_ids=("sentence-transformers/x",), size=384, max_tokens=256)
    contract = Contract(model_id="sentence-transformers/x", max_input_length=256)
    with TEIStub(
        encoder=FakeEncoder(size=384),
        model_id=contract.model_id,
        max_input_length=contract.max_input_length,
    ) as stub:
        async with encoder_of(stub, expect=expect) as encoder:
            assert encoder.info.max_tokens == 256
            assert (await encoder.encode(["a", "b"])).vectors.shape == (2, 384)


async def test_nothing_to_encode_asks_nobody() -> None:
    async with encoder_of(TEIStub()) as encoder:
        encoding = await encoder.encode([])
        assert encoding.vectors.shape == (0, 768)
