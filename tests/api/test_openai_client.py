"""The official client against a live server: what its users will see."""

import base64
from collections.abc import Generator

import numpy as np
import openai
import pytest

from tests.api.apps import KEY, fake_app, live, settings_of

pytestmark = pytest.mark.anyio

QUERY = "embeddinggemma-300m:query"


@pytest.fixture(scope="module")
def url() -> Generator[str, None, None]:
    with live(fake_app(settings_of(api_keys=KEY))) as base:
        yield f"{base}/v1"


@pytest.fixture
def client(url: str) -> Generator[openai.OpenAI, None, None]:
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0) as client:
        yield client


def test_vectors_arrive_by_default_base64_and_as_numbers(client: openai.OpenAI) -> None:
    default = client.embeddings.create(model=QUERY, input=["red planet", "blue sea"])
    numbers = client.embeddings.create(
        model=QUERY, input=["red planet", "blue sea"], encoding_format="float"
    )
    for packed, listed in zip(default.data, numbers.data, strict=True):
        assert np.array_equal(
            np.array(packed.embedding, np.float32), np.array(listed.embedding, np.float32)
        )
    assert [item.index for item in default.data] == [0, 1]
    assert default.model == QUERY
    assert default.usage.prompt_tokens == default.usage.total_tokens > 0


def test_asked_for_base64_stays_base64(client: openai.OpenAI) -> None:
    reply = client.embeddings.create(
        model=QUERY, input="a", encoding_format="base64", dimensions=256
    )
    packed: object = reply.data[0].embedding
    assert isinstance(packed, str)
    assert np.frombuffer(base64.b64decode(packed), "<f4").shape == (256,)


def test_extras_travel_in_the_extra_body(client: openai.OpenAI) -> None:
    model = "embeddinggemma-300m"
    extras = {"input_type": "document", "titles": ["Planets"]}
    titled = client.embeddings.create(model=model, input=["Mars"], extra_body=extras)
    plain = client.embeddings.create(model=f"{model}:document", input=["Mars"])
    assert titled.data[0].embedding != plain.data[0].embedding


async def test_the_async_client_gets_the_same(url: str, client: openai.OpenAI) -> None:
    async with openai.AsyncOpenAI(base_url=url, api_key=KEY, max_retries=0) as other:
        reply = await other.embeddings.create(model=QUERY, input="red planet")
        names = [model.id async for model in await other.models.list()]
    same = client.embeddings.create(model=QUERY, input="red planet")
    assert reply.data[0].embedding == same.data[0].embedding
    assert QUERY in names


def test_errors_arrive_as_the_clients_own(url: str, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as bare:
        client.embeddings.create(model="embeddinggemma-300m", input="a")
    assert bare.value.code == "task_required"
    assert bare.value.param == "model"
    with pytest.raises(openai.NotFoundError, match="not served here"):
        client.embeddings.create(model="text-embedding-3-small", input="a")
    with (
        openai.OpenAI(base_url=url, api_key="wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as locked,
    ):
        stranger.models.list()
    assert locked.value.code == "invalid_api_key"


def test_a_model_is_retrieved_by_a_name_with_a_slash(client: openai.OpenAI) -> None:
    name = "google/embeddinggemma-300m"
    assert client.models.retrieve(name).id == name
