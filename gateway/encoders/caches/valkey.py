"""A cache in a Valkey or Redis server, shared by several gateways (extra `valkey`).

The server bounds its memory itself: set `maxmemory` and an LRU policy there.
"""

from collections.abc import Awaitable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, Protocol, Self, TypeVar, cast

from gateway.encoders.caches.port import Stored
from gateway.errors import ConfigurationError, MissingExtra, UpstreamUnavailable

T = TypeVar("T")

PREFIX: Final = b"tei-rag-gateway:vector:"
CONNECT_SECONDS: Final = 0.5
ANSWER_SECONDS: Final = 5.0
CONNECTIONS: Final = 16
_KEYS_AT_ONCE: Final = 128
"""About 400 KB of vectors per answer: another caller's one key comes through between two of them."""


class _Pipeline(Protocol):
    def set(self, name: bytes, value: bytes, ex: int | None = None) -> object: ...

    def execute(self) -> Awaitable[list[Any]]: ...


class _Client(Protocol):
    """The part of `redis.asyncio.Redis` that is used here; its own types are partly unknown."""

    def mget(self, keys: list[bytes]) -> Awaitable[list[bytes | None]]: ...

    def pipeline(self, transaction: bool) -> _Pipeline: ...

    def aclose(self) -> Awaitable[None]: ...


class ValkeyCache:
    """Implements `Cache`; made by `connect`."""

    def __init__(
        self, client: _Client, errors: tuple[type[Exception], ...], *, ttl_seconds: int | None
    ) -> None:
        self.kind: Final = "valkey"
        self._client: Final = client
        self._errors: Final = errors
        self._ttl_seconds: Final = ttl_seconds

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        username: str | None = None,
        password: str | None = None,
        ttl_seconds: int | None = None,
    ) -> Self:
        """Prepare a client of `url`; nothing is sent before the first call.

        Raises:
            MissingExtra: the client library is not installed.
            ConfigurationError: the address is not one.
        """
        try:
            redis = cast("Any", import_module("redis.asyncio"))
            retry = cast("Any", import_module("redis.asyncio.retry"))
            backoff = cast("Any", import_module("redis.backoff"))
            errors = cast("Any", import_module("redis.exceptions"))
        except ImportError as exc:
            raise MissingExtra("the client of Valkey and Redis", "valkey") from exc
        given = {"username": username, "password": password}
        try:
            pool = redis.BlockingConnectionPool.from_url(
                url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
                max_connections=CONNECTIONS,
                timeout=ANSWER_SECONDS,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                retry=retry.Retry(backoff.NoBackoff(), 0),
                **{name: value for name, value in given.items() if value is not None},
            )
        except ValueError as exc:
            raise ConfigurationError(f"cache.url is no address of a server: {exc}") from exc
        client = redis.Redis.from_pool(pool)
        return cls(client, (errors.RedisError, OSError), ttl_seconds=ttl_seconds)

    async def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found: list[bytes | None] = []
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            some = [PREFIX + key for key in keys[start : start + _KEYS_AT_ONCE]]
            found += await self._ask(self._client.mget(some))
        return found

    async def put_many(self, entries: Mapping[bytes, bytes]) -> Stored:
        items = list(entries.items())
        for start in range(0, len(items), _KEYS_AT_ONCE):
            pipeline = self._client.pipeline(transaction=False)
            for key, value in items[start : start + _KEYS_AT_ONCE]:
                pipeline.set(PREFIX + key, value, ex=self._ttl_seconds)
            await self._ask(pipeline.execute())
        return Stored()

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _ask(self, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except self._errors as exc:
            raise UpstreamUnavailable(
                f"the cache server failed: {type(exc).__name__}", service="cache"
            ) from exc
