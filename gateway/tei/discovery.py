"""Which servers a URL means: a name with several addresses stands for several replicas.

So Kubernetes publishes the pods behind a headless service, and Docker Compose a scaled one.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeAlias

from gateway.tei.line import require_url
from gateway.tei.replica import Replica
from gateway.together import together

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to the IP addresses of the host; OSError when there are none."""
Member: TypeAlias = tuple[str, str | None]
"""A URL, and one of its host's addresses; None: the host has one, connect by its name."""
RETIRE_SECONDS: Final = 60.0


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver; IPv4 where the host has any such address."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    pairs = {(family, str(address[0])) for family, _, _, _, address in found}
    ipv4 = sorted(address for family, address in pairs if family == socket.AF_INET)
    return ipv4 or sorted(address for _, address in pairs)


class Members:
    """The replicas of a list of URLs, kept equal to what their names resolve to."""

    def __init__(
        self,
        urls: Sequence[str],
        make: Callable[[str, str | None], Replica],
        resolve: Resolve = resolve,
    ) -> None:
        self._urls = tuple(dict.fromkeys(urls))
        self._make = make
        self._resolve = resolve
        self._members: Mapping[Member, Replica] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def replicas(self) -> tuple[Replica, ...]:
        return tuple(self._members.values())

    @property
    def may_change(self) -> bool:
        """Whether a host is a name, not an address."""
        return any(not _is_address(require_url(url).host) for url in self._urls)

    async def refresh(self) -> list[Replica]:
        """Look the names up again; returns the replicas that are new.

        A name that cannot be resolved keeps the replicas it had.
        """
        wanted = [
            member for found in await together([*map(self._find, self._urls)]) for member in found
        ]
        known = self._members
        self._members = {m: known[m] if m in known else self._make(*m) for m in wanted}
        for member, replica in known.items():
            if member not in self._members:
                task = asyncio.create_task(_retire(replica))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)
        return [replica for member, replica in self._members.items() if member not in known]

    async def aclose(self) -> None:
        for task in tuple(self._retiring):
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await asyncio.gather(*(replica.aclose() for replica in self.replicas))

    async def _find(self, url: str) -> list[Member]:
        try:
            return await _members_of(url, self._resolve)
        except OSError:
            return [member for member in self._members if member[0] == url] or [(url, None)]


async def addresses_of(urls: Sequence[str], resolve: Resolve = resolve) -> list[Member]:
    """Return the servers that URLs stand for now; a name that cannot be resolved stands for one."""
    found: list[Member] = []
    for url in dict.fromkeys(urls):
        try:
            found += await _members_of(url, resolve)
        except OSError:
            found.append((url, None))
    return found


async def _members_of(url: str, resolve: Resolve) -> list[Member]:
    base = require_url(url)
    if _is_address(base.host):
        return [(url, None)]
    port = base.port or (443 if base.scheme == "https" else 80)
    addresses = await resolve(base.host, port)
    return [(url, one) for one in addresses] if len(addresses) > 1 else [(url, None)]


async def _retire(replica: Replica) -> None:
    """Close a replica that nobody asks any more, when what it works on is done."""
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(RETIRE_SECONDS):
                while replica.busy:  # noqa: ASYNC110  others empty it
                    await asyncio.sleep(0.05)
    finally:
        await replica.aclose()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
