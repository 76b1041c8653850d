"""The replicas behind a list of URLs: met at start, followed when their names change, closed."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from gateway.errors import (
    ConfigurationError,
    GatewayError,
    UnsupportedServer,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import Sink
from gateway.ports import Health
from gateway.tei.discovery import Members, Resolve, resolve
from gateway.tei.line import Limits, require_url
from gateway.tei.pool import Pool
from gateway.tei.refusals import SERVICE
from gateway.tei.replica import Replica
from gateway.together import together

HEALTH_SECONDS: Final = 6.0


async def nothing() -> None:
    """There is no more to check."""


class Fleet:
    """A pool whose members come and go with the addresses of their names."""

    def __init__(  # noqa: PLR0913  each is given by name
        self,
        urls: Sequence[str],
        make: Callable[[str, str | None], Replica],
        *,
        limits: Limits,
        sink: Sink,
        resolve: Resolve = resolve,
        check: Callable[[], Awaitable[None]] = nothing,
        service: str = SERVICE,
    ) -> None:
        """Prepare; nothing is asked before `open`. `make` makes the replica of a URL and an address.

        `check` is what else must hold once a replica is met, at start and whenever health is asked.

        Raises:
            ConfigurationError: no address, or a malformed one.
        """
        if not urls:
            raise ConfigurationError(f"no TEI address is set: set {service}.urls")
        for url in urls:
            require_url(url)
        self._check: Final = check
        self.pool: Final = Pool((), limits=limits, sink=sink, service=service)
        self._members: Final = Members(urls, make, resolve)
        self._tasks: Final[list[asyncio.Task[None]]] = []

    async def open(self, *, discovery_seconds: float) -> None:
        """Examine the replicas; from then on, look their names up so often (0: never).

        One that is away or wrong is no error while another may be right. After an error it is closed.

        Raises:
            UnsupportedServer: every replica answers, and none would answer rightly.
            ConfigurationError: the key is wrong.
        """
        await self._members.refresh()
        self.pool.replicas = self._members.replicas
        try:
            await self._meet_all()
        except BaseException:
            await self.aclose()
            raise
        if discovery_seconds and self._members.may_change:
            self.watch(self._follow(discovery_seconds))

    def watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until the fleet is closed."""
        self._tasks.append(asyncio.create_task(work))

    async def health(self, name: str) -> Health:
        """Ask every replica; one that is verified and well is enough."""
        states = await asyncio.gather(*map(self._state, self.pool.replicas))
        return Health(name, any(ok for ok, _ in states), "; ".join(told for _, told in states))

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._members.aclose()

    async def _meet_all(self) -> None:
        """Those that are away may come later, wrong ones may not."""
        errors = await together([met(one) for one in self.pool.replicas])
        wrong = [error for error in errors if isinstance(error, ConfigurationError)]
        if len(wrong) == len(errors):
            raise wrong[0]
        if self.pool.ready():
            await self._check()

    async def _follow(self, seconds: float) -> None:
        """Keep the pool equal to what the names resolve to."""
        while True:
            await asyncio.sleep(seconds)
            new = await self._members.refresh()
            kept = tuple(one for one in self._members.replicas if one not in new)
            self.pool.replicas = kept or self._members.replicas
            await together([met(one) for one in new])
            self.pool.replicas = self._members.replicas

    async def _state(self, replica: Replica) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                state = await replica.health()
                await self._check()
        except TimeoutError:
            return False, f"{replica.where}: no answer in {HEALTH_SECONDS:g} s"
        except GatewayError as exc:
            told = str(exc)
            return False, told if replica.where in told else f"{replica.where}: {told}"
        version = replica.client.known.version if replica.client.known else "unknown"
        return True, f"{replica.where}: TEI {version} {state}"


async def met(replica: Replica) -> GatewayError | None:
    """Verify a replica; returns why it is left out. One that is no TEI at all is a wrong one."""
    try:
        await replica.meet()
    except (UpstreamUnavailable, UpstreamTimeout, UpstreamOverloaded, ConfigurationError) as exc:
        return exc
    except GatewayError as exc:
        return UnsupportedServer(f"{replica.where} does not answer as TEI does: {exc}")
    return None
