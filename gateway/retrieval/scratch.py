"""A collection for a while: filled to measure on, then dropped, and never one of a user's."""

import re
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.domain.collections import CollectionSpec
from gateway.errors import CollectionNotFound
from gateway.ports import VectorStore

STALE: Final = timedelta(days=1)
"""No measuring takes as long: what is older was left by a process that was killed."""
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_NAME: Final = re.compile(r"tuning-scratch\.(\d{8}T\d{6}Z)\.[0-9a-f]{16}")


@asynccontextmanager
async def scratch_collection(
    store: VectorStore, like: CollectionSpec
) -> AsyncGenerator[CollectionSpec, None]:
    """Make a collection like another one, under a name that no other run and no user has.

    It is dropped at the end; so are those that earlier runs left more than a day ago.
    """
    now = datetime.now(UTC)
    for info in await store.list_collections():
        if _is_stale(info.spec.name, now):
            with suppress(CollectionNotFound):  # another run was faster
                await store.drop(info.spec.name)
    name = f"tuning-scratch.{now.strftime(_STAMP)}.{secrets.token_hex(8)}"
    spec = await store.ensure(replace(like, name=name))
    try:
        yield spec
    finally:
        await store.drop(name)


def _is_stale(name: str, now: datetime) -> bool:
    found = _NAME.fullmatch(name)
    if found is None:
        return False
    try:
        made = datetime.strptime(found[1], _STAMP).replace(tzinfo=UTC)
    except ValueError:  # no date, so no name of ours
        return False
    return now - made > STALE
