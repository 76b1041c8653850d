"""The stores that one suite judges: in memory, embedded, Qdrant's client in memory, and servers."""

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from gateway.ports import VectorStore
from tests.contract.stores import LOCAL, SPEC, open_store

SERVERS = ("v1.16.0", "v1.19.0")


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, str]]:
    """Qdrant containers by tag, started when a test asks for the first one."""
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415
    from testcontainers.core.wait_strategies import HttpWaitStrategy  # noqa: PLC0415

    found: dict[str, str] = {}
    running: list[DockerContainer] = []
    for tag in SERVERS:
        ready = HttpWaitStrategy(6333, "/readyz").for_status_code(200)
        container = DockerContainer(f"qdrant/qdrant:{tag}").with_exposed_ports(6333, 6334)
        running.append(container.waiting_for(ready).start())
        host = container.get_container_host_ip()
        rest, grpc = container.get_exposed_port(6333), container.get_exposed_port(6334)
        found[tag] = f"http://{host}:{rest}|{grpc}"
    yield found
    for container in running:
        container.stop()


@pytest.fixture(params=[*LOCAL, *(pytest.param(tag, marks=pytest.mark.docker) for tag in SERVERS)])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncGenerator[VectorStore, None]:
    kind: str = request.param
    target = request.getfixturevalue("servers")[kind] if kind in SERVERS else kind
    async with open_store(target, tmp_path) as opened:
        await opened.ensure(SPEC)
        yield opened
