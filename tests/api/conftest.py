from collections.abc import Generator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tests.api.apps import fake_app, live


@pytest.fixture
def client() -> Generator[TestClient[Litestar], None, None]:
    with TestClient(fake_app()) as client:
        yield client


@pytest.fixture(scope="module")
def base_url() -> Generator[str, None, None]:
    """Base URL of a live server, one for a module."""
    with live(fake_app()) as url:
        yield url
