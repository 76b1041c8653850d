"""The encoder over OpenAI's protocol: who is let in, what is survived, who is blamed."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.bootstrap import open_runtime
from gateway.doctor import Status, examine
from gateway.domain.vectors import Matrix
from gateway.encoders._tei_tokens import PROBES
from gateway.encoders.openai import Expectation, OpenAIEncoder
from gateway.errors import (
    ConfigurationError,
    DegenerateVector,
    GatewayError,
    InputTooLong,
    InvalidText,
    UnsupportedServer,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamQuota,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Event, UpstreamCalled, UpstreamRetried
from gateway.ports import Lane
from gateway.settings import load_settings
from tests.support.openai_stub import SIZE, Fault, OpenAIStub, Refusal, hashed, words
from tests.support.tei_pools import eventually

pytestmark = pytest.mark.anyio

EXPECT = Expectation(("org/model", "other/model"), SIZE, 100, ("float32",))
TEXTS = [f"text number {index} " + "word " * (index % 7) for index in range(75)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    words().save(str(file))
    return file


@asynccontextmanager
async def encoder_of(
    stub: OpenAIStub, tokenizer: Path, **options: Any
) -> AsyncGenerator[OpenAIEncoder]:
    url = options.pop("url", stub.url)
    opened = await OpenAIEncoder.connect(url, expect=EXPECT, tokenizer=tokenizer, **options)
    async with aclosing(opened):
        yield opened


def sent(stub: OpenAIStub) -> list[list[str]]:
    """Texts of each request that is not the probe of a new connection."""
    return [asked["input"] for asked in stub.asked if asked["input"] != list(PROBES)]


def attempts(events: Sequence[Event]) -> int:
    """Embedding requests that are no probes, answered or not."""
    called = [event for event in events if isinstance(event, UpstreamCalled)]
    return len([event for event in called if event.operation == "embed"])


def short(texts: Sequence[str]) -> Matrix:
    return hashed(texts, size=SIZE // 2)


async def test_it_says_what_it_serves_and_where(tokenizer: Path) -> None:
    with OpenAIStub(models=("tiny.gguf",)) as stub:
        async with encoder_of(stub, tokenizer) as encoder:
            info = encoder.info
            health = await encoder.health()
    assert (info.kind, info.model_id, info.size, info.max_tokens) == (
        "openai",
        "org/model",
        SIZE,
        100,
    )
    assert dict(info.details) == {
        "server": stub.url,
        "verified": "yes",
        "server_model": "tiny.gguf",
        "server_tokens": "compared",
    }
    assert health.ok
    assert "tiny.gguf" in health.detail


@pytest.mark.parametrize(
    ("stub", "options", "told"),
    [
        (OpenAIStub(rows=short), {}, "size 32.*64.*another model"),
        (OpenAIStub(prompt="title: none | text: "), {}, "tokens.*without a prompt of its own"),
        (OpenAIStub(reads=5), {}, "tokens.*openai.tokenizer"),
        (OpenAIStub(models=("a", "b")), {}, "several models.*openai.model"),
        (OpenAIStub(models=("a", "b")), {"model": "c"}, "'a', 'b', not 'c'"),
        (OpenAIStub(api_key="right"), {"api_key": "wrong"}, "openai.api_key"),
    ],
    ids=["size", "prompt", "cuts", "several", "unknown", "key"],
)
async def test_a_server_that_would_answer_wrongly_is_refused_at_once(
    stub: OpenAIStub, options: dict[str, Any], told: str, tokenizer: Path
) -> None:
    with stub, pytest.raises(ConfigurationError, match=told) as caught:
        async with encoder_of(stub, tokenizer, **options):
            pass
    assert stub.url in str(caught.value)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (501, "--embeddings"),
        (404, "openai.model"),
        (400, "400"),
        (302, "is it one"),
        ("page", "not OpenAI"),
    ],
)
async def test_what_is_no_embedding_server_is_refused_at_once(
    fault: Fault, told: str, tokenizer: Path
) -> None:
    stub = OpenAIStub()
    stub.fail(fault)
    with stub, pytest.raises(UnsupportedServer, match=told):
        async with encoder_of(stub, tokenizer):
            pass


@pytest.mark.parametrize(
    ("stub", "options", "model"),
    [
        (OpenAIStub(form="float"), {}, "stub"),
        (OpenAIStub(reverse=True), {}, "stub"),
        (OpenAIStub(usage=False), {}, "stub"),
        (OpenAIStub(models=None), {}, "org/model"),
        (OpenAIStub(models=("a", "other/model")), {}, "other/model"),
        (OpenAIStub(models=("a", "b")), {"model": "b"}, "b"),
        (OpenAIStub(api_key="right"), {"api_key": "right"}, "stub"),
    ],
    ids=["floats", "reversed", "no usage", "no list", "ours", "chosen", "key"],
)
async def test_a_server_that_answers_rightly_is_let_in(
    stub: OpenAIStub, options: dict[str, Any], model: str, tokenizer: Path
) -> None:
    with stub:
        async with encoder_of(stub, tokenizer, **options) as encoder:
            encoding = await encoder.encode(["one", "two words"])
    assert encoding.vectors.tobytes() == hashed(["one", "two words"]).tobytes()
    assert encoding.tokens == 3 + 4
    assert {asked["model"] for asked in stub.asked} == {model}
    assert {asked["encoding_format"] for asked in stub.asked} == {"base64"}


async def test_an_address_may_end_as_openai_clients_write_it(tokenizer: Path) -> None:
    with OpenAIStub() as stub:
        async with encoder_of(stub, tokenizer, url=f"{stub.url}/v1/") as encoder:
            assert (await encoder.encode(["a"])).vectors.shape == (1, SIZE)


async def test_many_texts_come_back_in_order_bit_for_bit(tokenizer: Path) -> None:
    with OpenAIStub(latency=0.01) as stub:
        async with encoder_of(stub, tokenizer, max_batch=8, max_in_flight=3) as encoder:
            encoding = await encoder.encode(TEXTS)
            assert encoding.tokens == sum(await encoder.count_tokens(TEXTS))
    sizes = [len(texts) for texts in sent(stub)]
    assert encoding.vectors.tobytes() == hashed(TEXTS).tobytes()
    assert sorted(sizes) == [3, *[8] * 9]
    assert stub.most_at_once == 3
    counts = [[len(text.split()) for text in texts] for texts in sent(stub)]
    assert all(max(words) - min(words) <= 1 for words in counts), "like lengths go together"


@pytest.mark.parametrize(
    ("fault", "times", "slug"),
    [
        (429, 3, "upstream-overloaded"),
        (503, 2, "upstream-unavailable"),
        (502, 1, "upstream-unavailable"),
        (500, 1, "upstream-unavailable"),
        ("reset", 2, "upstream-unavailable"),
        ("half", 1, "upstream-unavailable"),
    ],
)
async def test_a_passing_failure_is_retried_and_the_vectors_are_right(
    fault: Fault, times: int, slug: str, tokenizer: Path
) -> None:
    events: list[Event] = []
    with OpenAIStub() as stub:
        async with encoder_of(stub, tokenizer, sink=events.append) as encoder:
            stub.fail(fault, times=times)
            encoding = await encoder.encode(["a", "b c"])
    assert encoding.vectors.tobytes() == hashed(["a", "b c"]).tobytes()
    retried = [event for event in events if isinstance(event, UpstreamRetried)]
    assert [(event.service, event.slug) for event in retried] == [("openai", slug)] * times
    called = {event.service for event in events if isinstance(event, UpstreamCalled)}
    assert called == {"openai"}


async def test_a_server_that_stays_full_is_reported_after_the_deadline(tokenizer: Path) -> None:
    with OpenAIStub() as stub:
        async with encoder_of(stub, tokenizer, timeout_seconds=1.5) as encoder:
            stub.fail(429, times=100_000)
            with pytest.raises(UpstreamOverloaded, match="embedding server at") as caught:
                await encoder.encode(["a"])
    assert caught.value.service == "openai"
    assert "TEI" not in str(caught.value)


async def test_a_spent_quota_is_told_at_once_and_passes_when_it_is_raised(tokenizer: Path) -> None:
    spent = {"message": "You exceeded your current quota.", "code": "insufficient_quota"}
    events: list[Event] = []
    with OpenAIStub() as stub:
        stub.fail(Refusal(429, {"error": spent}))
        async with encoder_of(stub, tokenizer, sink=events.append) as encoder:
            assert dict(encoder.info.details)["verified"] == "no"
            assert (await encoder.encode(["a"])).vectors.shape == (1, SIZE)
            stub.fail(Refusal(429, {"error": spent}), times=100_000)
            before = attempts(events)
            with pytest.raises(UpstreamQuota, match="exceeded your current quota") as caught:
                await encoder.encode(["a"])
    assert attempts(events) == before + 1
    assert caught.value.service == "openai"
    assert not [event for event in events if isinstance(event, UpstreamRetried)]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_pause_that_is_asked_for_is_kept(status: int, tokenizer: Path) -> None:
    events: list[Event] = []
    with OpenAIStub() as stub:
        async with encoder_of(stub, tokenizer, sink=events.append) as encoder:
            stub.fail(Refusal(status, headers={"retry-after": "600"}), times=100_000)
            with pytest.raises(UpstreamError) as caught:
                await encoder.encode(["a"])
    assert attempts(events) == 1, "the pause is longer than the deadline"
    assert caught.value.retry_after_seconds == 600.0


async def test_a_silent_server_is_named_with_the_setting_that_bounds_it(tokenizer: Path) -> None:
    with OpenAIStub() as stub:
        async with encoder_of(stub, tokenizer, timeout_seconds=1.5) as encoder:
            stub.latency = 4.0
            with pytest.raises(
                UpstreamTimeout, match=r"^the embedding.*openai\.timeout_"
            ) as caught:
                await encoder.encode(["a"])
    assert caught.value.service == "openai"


@pytest.mark.parametrize("status", [400, 413, 422, 500])
async def test_guilty_texts_are_found_and_named_and_the_rest_is_encoded(
    status: int, tokenizer: Path
) -> None:
    texts = [*TEXTS[:30], "guilty", *TEXTS[30:60], "as guilty as the other"]
    with OpenAIStub(refuses=lambda text: status if "guilty" in text else 0) as stub:
        async with encoder_of(stub, tokenizer, max_batch=16) as encoder:
            encoding = await encoder.encode(texts)
    good = [index for index in range(len(texts)) if index not in {30, 61}]
    assert set(encoding.refused) == {30, 61}
    assert encoding.rows[good].tobytes() == hashed([texts[index] for index in good]).tobytes()
    assert np.isnan(encoding.rows[[30, 61]]).all()
    assert len(stub.asked) < 50
    with pytest.raises(
        UpstreamRejected, match=rf'input 30, 3 tokens: .*{status} \("no"\).*embeds other texts'
    ):
        encoding.vectors  # noqa: B018  raises


async def test_a_server_that_breaks_down_is_blamed_itself_and_no_text(tokenizer: Path) -> None:
    with OpenAIStub() as stub:
        async with encoder_of(stub, tokenizer, max_batch=16) as encoder:
            stub.fail(500, times=100_000)
            with pytest.raises(UpstreamUnavailable, match="500"):
                await encoder.encode(TEXTS)
    assert len(stub.asked) == 1, "only the probes were ever answered"


async def test_a_text_that_the_server_cuts_without_a_word_is_refused(tokenizer: Path) -> None:
    long = "word " * 60
    with OpenAIStub(reads=40) as stub:
        async with encoder_of(stub, tokenizer) as encoder:
            encoding = await encoder.encode(["a", long, "b"])
    assert set(encoding.refused) == {1}
    assert encoding.rows[[0, 2]].tobytes() == hashed(["a", "b"]).tobytes()
    assert "read 40 tokens where the texts have 62" in str(encoding.refused[1])


@pytest.mark.parametrize(
    ("form", "value"),
    [("base64", np.nan), ("base64", np.inf), ("base64", 0.0), ("float", np.nan), ("float", 0.0)],
)
async def test_a_vector_without_direction_is_named_and_never_returned(
    form: Any, value: float, tokenizer: Path
) -> None:
    def rows(texts: Sequence[str]) -> Matrix:
        made = hashed(texts)
        made[[text == "broken" for text in texts]] = value
        return made

    with OpenAIStub(rows=rows, form=form) as stub:
        async with encoder_of(stub, tokenizer) as encoder:
            encoding = await encoder.encode(["a", "broken", "c"])
    error = encoding.refused[1]
    assert isinstance(error, DegenerateVector)
    assert error.index == 1
    assert np.isfinite(encoding.rows[[0, 2]]).all()
    assert np.isnan(encoding.rows[1]).all()


async def test_what_must_not_be_sent_is_refused_by_index_and_never_sent(tokenizer: Path) -> None:
    texts = ["a", "", "b \ud800", "word " * 98, "word " * 99, "c"]
    with OpenAIStub() as stub:
        async with encoder_of(stub, tokenizer) as encoder:
            encoding = await encoder.encode(texts)
    kinds = {index: type(error) for index, error in encoding.refused.items()}
    assert kinds == {1: InvalidText, 2: InvalidText, 4: InputTooLong}
    assert encoding.tokens == 3 + 100 + 3
    assert sorted(chain(*sent(stub))) == sorted(["a", "word " * 98, "c"])


async def test_a_server_that_is_away_at_the_start_is_verified_when_it_comes(
    tokenizer: Path,
) -> None:
    stub = OpenAIStub()
    async with encoder_of(stub, tokenizer) as encoder:
        health = await encoder.health()
        assert not health.ok
        assert f"embedding server at {stub.url} cannot be reached" in health.detail
        assert dict(encoder.info.details)["verified"] == "no"
        with pytest.raises(UpstreamUnavailable) as caught:
            await encoder.encode(["a"])
        assert caught.value.retry_after_seconds is not None
        with stub:
            assert (await encoder.encode(["a"])).vectors.shape == (1, SIZE)
            assert (await encoder.health()).ok


async def test_a_wrong_server_that_comes_later_is_refused(tokenizer: Path) -> None:
    stub = OpenAIStub(rows=short)
    async with encoder_of(stub, tokenizer) as encoder:
        with stub:
            health = await encoder.health()
            assert not health.ok
            assert "another model" in health.detail
            with pytest.raises(UnsupportedServer, match="size 32"):
                await encoder.encode(["a"])


async def test_a_server_that_was_restarted_is_used_again(tokenizer: Path) -> None:
    stub = OpenAIStub()
    with stub:
        opened = encoder_of(stub, tokenizer)
        encoder = await opened.__aenter__()
        before = await encoder.encode(TEXTS)
    with stub:
        after = await encoder.encode(TEXTS)
        await opened.__aexit__(None, None, None)
    assert after.vectors.tobytes() == before.vectors.tobytes()


async def test_another_model_put_behind_the_address_never_gets_a_vector_through(
    tokenizer: Path,
) -> None:
    stub = OpenAIStub()
    with stub:
        opened = encoder_of(stub, tokenizer)
        encoder = await opened.__aenter__()
    stub.rows = partial(hashed, salt="another model")
    with stub:
        with pytest.raises(UnsupportedServer, match="other vectors than before"):
            await encoder.encode(["a"])
        assert not (await encoder.health()).ok
        await opened.__aexit__(None, None, None)


async def test_a_query_does_not_wait_behind_an_ingest(tokenizer: Path) -> None:
    with OpenAIStub(latency=0.02) as stub:
        async with encoder_of(stub, tokenizer, max_batch=1, max_in_flight=2) as encoder:
            opened = len(sent(stub))
            ingest = asyncio.create_task(encoder.encode(TEXTS[:40], lane=Lane.INGEST))
            await eventually(lambda: len(sent(stub)) >= opened + 5)
            began = len(sent(stub))
            await encoder.encode(["somebody waits for this"])
            passed = len(sent(stub)) - began
            assert not ingest.done()
            await ingest
    assert passed < 15
    assert stub.most_at_once == 2


@pytest.mark.parametrize("url", ["ftp://host", "http://"])
async def test_what_is_no_address_is_refused(url: str, tokenizer: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^the embedding server address"):
        async with encoder_of(OpenAIStub(), tokenizer, url=url):
            pass


async def test_a_missing_tokenizer_is_refused(tmp_path: Path) -> None:
    with OpenAIStub() as stub, pytest.raises(ConfigurationError, match="no tokenizer"):
        async with encoder_of(stub, tmp_path):
            pass


async def test_other_answers_are_no_vectors(tokenizer: Path) -> None:
    with OpenAIStub() as stub:
        async with encoder_of(stub, tokenizer) as encoder:
            stub.fail("page")
            with pytest.raises(UpstreamError, match="not OpenAI's"):
                await encoder.encode(["a"])


def settings_for(stub: OpenAIStub, tokenizer: Path, profiles: Path, **more: str) -> Any:
    profiles.write_text(
        f'[tiny]\nmodel_id = "org/model"\nsizes = [{SIZE}]\nmax_tokens = 100\n'
        'prompts = { query = "ask: ", document = "read: " }\n',
        encoding="utf-8",
    )
    environ = {
        "GATEWAY_OPENAI__URL": stub.url,
        "GATEWAY_OPENAI__TOKENIZER": str(tokenizer),
        "GATEWAY_PROFILES_FILE": str(profiles),
        "GATEWAY_PROFILE": "tiny",
        "GATEWAY_STORE": "memory",
    }
    return load_settings(environ=environ | more)


async def test_settings_open_it_and_the_doctor_finds_it_well(
    tokenizer: Path, tmp_path: Path
) -> None:
    with OpenAIStub() as stub:
        settings = settings_for(stub, tokenizer, tmp_path / "profiles.toml")
        async with open_runtime(settings) as runtime:
            findings = await examine(runtime)
    assert settings.encoder_kind == "openai"
    assert not [finding for finding in findings if finding.status is Status.FAIL]
    assert findings[0].detail.startswith("openai serves org/model")


async def test_the_doctor_says_where_the_address_is_set(tokenizer: Path, tmp_path: Path) -> None:
    settings = settings_for(OpenAIStub(), tokenizer, tmp_path / "profiles.toml")
    async with open_runtime(settings) as runtime:
        first = (await examine(runtime))[0]
    assert first.status is Status.FAIL
    assert "GATEWAY_OPENAI__URL" in first.remedy


async def test_settings_without_a_tokenizer_are_refused(tokenizer: Path, tmp_path: Path) -> None:
    settings = settings_for(
        OpenAIStub(), tokenizer, tmp_path / "profiles.toml", GATEWAY_OPENAI__TOKENIZER=""
    )
    with pytest.raises(GatewayError, match="GATEWAY_OPENAI__TOKENIZER"):
        async with open_runtime(settings):
            pass


async def test_quantised_weights_must_be_declared_since_they_are_another_space(
    tokenizer: Path,
) -> None:
    with OpenAIStub(models=("gemma-Q8_0.gguf",)) as stub:
        with pytest.raises(UnsupportedServer, match=r"q8_0.*openai\.quantization"):
            async with encoder_of(stub, tokenizer):
                pass
        with pytest.raises(UnsupportedServer, match="is 'q4_0'"):
            async with encoder_of(stub, tokenizer, quantization="q4_0"):
                pass
        async with encoder_of(stub, tokenizer, quantization="q8_0") as encoder:
            assert encoder.info.quantization == "q8_0"
