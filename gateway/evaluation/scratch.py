"""A place of an evaluation's own: its store is made for it and thrown away, its cache is kept.

The collections of the user are never touched: the scratch store is another folder, or memory.
"""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from gateway.bootstrap import Runtime, open_runtime
from gateway.settings import Settings
from gateway.settings.services import CacheSettings, EdgeSettings, QdrantSettings

CACHE_BYTES: Final = 20_000_000_000
"""Room of the cache: 5 million vectors of 768 values."""


@asynccontextmanager
async def scratch_runtime(
    settings: Settings, cache: Path | None, *, indexed: bool
) -> AsyncGenerator[Runtime, None]:
    """Open the configured encoder over a scratch store; every text is encoded once, ever.

    The store is the embedded engine, or memory where the settings say memory. `indexed` makes it
    index and quantise what is small as well, as it would a large collection.

    Raises:
        ConfigurationError: as `open_runtime`.
    """
    with _folder() as folder:
        changes: dict[str, Any] = {
            "data_dir": folder,
            "qdrant": QdrantSettings(),
            "edge": EdgeSettings(index_from=1) if indexed else EdgeSettings(),
            "store": "memory" if settings.store_kind == "memory" else "edge",
        }
        kept = cached(settings, cache).cache
        async with open_runtime(settings.model_copy(update={**changes, "cache": kept})) as runtime:
            yield runtime


def cached(settings: Settings, cache: Path | None) -> Settings:
    """Return settings under which vectors are kept: in the folder `cache` where one is given.

    Else in the cache that is set already, else in a folder of evaluations under `data_dir`.
    """
    if cache is None and settings.cache.kind != "none":
        folder = settings.cache.path or settings.data_dir / "cache"
        kept = settings.cache.model_copy(update={"path": folder})
    else:
        folder = cache or settings.data_dir / "evaluation"
        kept = CacheSettings(kind="disk", path=folder, max_bytes=CACHE_BYTES)
    return settings.model_copy(update={"cache": kept})


def left_of(settings: Settings, cache: Path | None) -> str:
    """Say what is left of an evaluation that was ended."""
    if cached(settings, cache).cache.kind == "memory":
        return "nothing of it is kept: give --cache DIR, and vectors are"
    return "vectors are kept in the cache: the same command goes on from there"


@contextmanager
def _folder() -> Generator[Path, None, None]:
    with TemporaryDirectory(prefix="gateway-eval-") as name:
        yield Path(name)
