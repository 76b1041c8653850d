from collections.abc import Generator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from gateway.api.guards import accepts
from gateway.api.server import require_bindable
from gateway.errors import ConfigurationError
from tests.api.apps import KEY, fake_app, settings_of

ROUTES = [
    ("GET", "/info"),
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("POST", "/v1/embeddings"),
    ("POST", "/api/v1/embed"),
    ("GET", "/api/v1/collections"),
    ("PUT", "/api/v1/collections/a"),
    ("GET", "/api/v1/collections/a"),
    ("DELETE", "/api/v1/collections/a"),
    ("POST", "/api/v1/collections/a/search"),
    ("POST", "/api/v1/collections/a/documents"),
    ("GET", "/api/v1/collections/a/documents/b"),
    ("DELETE", "/api/v1/collections/a/documents/b"),
]


@pytest.fixture
def locked() -> Generator[TestClient[Litestar], None, None]:
    with TestClient(fake_app(settings_of(api_keys=f"another,{KEY}"))) as client:
        yield client


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_route_without_a_key_is_refused(
    locked: TestClient[Litestar], method: str, path: str
) -> None:
    response = locked.request(method, path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"x-api-key": KEY}],
    ids=["bearer", "lower case", "x-api-key"],
)
def test_any_of_the_keys_is_accepted_in_either_header(
    locked: TestClient[Litestar], headers: dict[str, str]
) -> None:
    assert locked.get("/info", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": KEY[:-1]},
        {"x-api-key": KEY + "x"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {KEY},another"},
        {"x-api-key": "\xfc"},
    ],
    ids=["shorter", "longer", "basic", "empty", "joined", "not ascii"],
)
def test_a_wrong_key_is_refused_and_not_repeated(
    locked: TestClient[Litestar], headers: dict[str, str]
) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    response = locked.get("/info", headers=encoded)  # pyright: ignore[reportArgumentType]
    assert response.status_code == 401
    assert response.json()["type"] == "urn:tei-rag-gateway:problem:unauthorized"
    assert KEY not in response.text


def test_a_refusal_under_v1_has_the_shape_of_openai(locked: TestClient[Litestar]) -> None:
    error = locked.post("/v1/embeddings", json={}).json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["code"] == "invalid_api_key"
    assert error["param"] is None


def test_probes_answer_without_a_key_but_tell_no_details(locked: TestClient[Litestar]) -> None:
    assert locked.get("/livez").json() == {"status": "alive"}
    for path in ("/readyz?verbose", "/health?verbose"):
        assert locked.get(path).json() == {"status": "ready"}
    told = locked.get("/readyz?verbose", headers={"x-api-key": KEY}).json()
    names = [check["name"] for check in told["checks"]]
    assert names == ["fake", "memory", "dtype", "api-keys"]


def test_the_reference_is_public(locked: TestClient[Litestar]) -> None:
    for path in ("/docs", "/docs/start.js", "/openapi.json"):
        assert locked.get(path).status_code == 200


def test_every_key_is_looked_at_whichever_matches() -> None:
    keys = [b"one", b"two", "schl\u00fcssel".encode()]
    assert all(accepts(keys, key) for key in keys)
    assert not accepts(keys, b"three")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_a_loopback_address_needs_no_key(host: str) -> None:
    require_bindable(settings_of(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.4", "gateway.example"])
def test_any_other_address_needs_a_key_or_the_operators_word(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"server\.api_keys"):
        require_bindable(settings_of(host=host))
    require_bindable(settings_of(host=host, api_keys=KEY))
    require_bindable(settings_of(host=host, allow_open=True))
