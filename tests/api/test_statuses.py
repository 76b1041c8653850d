import json
from collections.abc import Iterator

import pytest
from litestar import Litestar, get
from litestar.testing import TestClient

from gateway.api.exceptions import STATUS, read, status_of
from gateway.errors import (
    CollectionNotFound,
    DegenerateVector,
    DocumentNotFound,
    GatewayError,
    InvalidRequest,
    MissingExtra,
    NothingIngested,
    SpaceMismatch,
    StoreLocked,
    Unauthorized,
    UnknownModel,
    UpstreamOverloaded,
    UpstreamQuota,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tests.api.apps import fake_app


def leaves(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    children = kind.__subclasses__()
    if not children:
        yield kind
    for child in children:
        yield from leaves(child)


ERRORS = GatewayError.__module__
OURS = sorted(
    (leaf for leaf in leaves(GatewayError) if leaf.__module__.startswith("gateway.")),
    key=lambda leaf: leaf.__name__,
)


@pytest.mark.parametrize("leaf", OURS, ids=lambda leaf: leaf.__name__)
def test_every_error_has_a_status_by_the_table(leaf: type[GatewayError]) -> None:
    assert any(parent in STATUS for parent in leaf.__mro__)
    assert status_of(leaf) in {400, 401, 404, 408, 409, 413, 415, 422, 500, 502, 503, 504, 507}


def test_slugs_are_stable_names_of_one_kind_each() -> None:
    """Adapters refine a kind for themselves (`gateway.tei.refusals`); to callers it stays one."""
    kinds = {next(kind for kind in leaf.__mro__ if kind.__module__ == ERRORS) for leaf in OURS}
    slugs = [kind.__dict__.get("slug") for kind in kinds]
    assert None not in slugs
    assert len(set(slugs)) == len(slugs)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("x"), 400),
        (Unauthorized("x"), 401),
        (UnknownModel("x"), 404),
        (CollectionNotFound("x"), 404),
        (DocumentNotFound("x", "y"), 404),
        (SpaceMismatch("x", stored="a", offered="b"), 409),
        (NothingIngested("x"), 422),
        (MissingExtra("x", "y"), 500),
        (DegenerateVector("x"), 502),
        (UpstreamRejected("x"), 502),
        (UpstreamOverloaded("x"), 503),
        (UpstreamUnavailable("x"), 503),
        (StoreLocked("x"), 503),
        (UpstreamTimeout("x"), 504),
        (UpstreamQuota("x"), 507),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_is_answered_with_its_status(error: GatewayError, status: int) -> None:
    assert read(error).status == status


def test_what_is_down_or_full_says_when_to_come_back() -> None:
    assert read(UpstreamUnavailable("down")).headers == {"retry-after": "2"}
    overloaded = UpstreamOverloaded("full", retry_after_seconds=6.2)
    assert read(overloaded).headers == {"retry-after": "7"}


def test_an_error_inside_a_task_group_is_read_as_itself() -> None:
    group = ExceptionGroup("tasks", [ExceptionGroup("inner", [UpstreamUnavailable("down")])])
    assert read(group).slug == "upstream-unavailable"


def test_an_unexpected_failure_tells_nothing_of_its_inside(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @get("/broken", sync_to_thread=False)
    def broken() -> None:
        raise RuntimeError("the secret of the house")

    app = fake_app()
    app.register(broken)
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.get("/broken")
    assert response.status_code == 500
    assert response.json()["type"] == "urn:tei-rag-gateway:problem:internal-error"
    logged = capsys.readouterr()
    assert "the secret" not in response.text + logged.out + logged.err
    assert response.headers["x-request-id"] in logged.out + logged.err


def test_a_problem_has_the_members_of_rfc_9457(client: TestClient[Litestar]) -> None:
    response = client.get("/api/v1/collections/missing", headers={"x-request-id": "abc-1"})
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "urn:tei-rag-gateway:problem:collection-not-found",
        "title": "No such collection",
        "status": 404,
        "detail": "collection 'missing' does not exist; create it with PUT (or ?create=true when "
        "ingesting), or by 'gateway ingest'",
        "instance": "/api/v1/collections/missing",
        "request_id": "abc-1",
    }


def test_unknown_routes_and_methods_are_problems_too(client: TestClient[Litestar]) -> None:
    missing = client.get("/nothing/here")
    wrong = client.patch("/info")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "OPTIONS"}
    for response in (missing, wrong):
        assert response.headers["content-type"] == "application/problem+json"
        assert json.loads(response.content)["detail"]
