"""Errors name fields in the caller's words: the same `text` is `query` here and `inputs[3].text` there."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from gateway.errors import InvalidRequest


@contextmanager
def renamed(names: Mapping[str, str]) -> Generator[None, None, None]:
    """Rename the field of an `InvalidRequest` on its way out; `{index}` stands for its index.

    A field of no index keeps its name where the new one needs an index.
    """
    try:
        yield
    except InvalidRequest as exc:
        name = names.get(exc.field or "")
        if name is not None and (exc.index is not None or "{index}" not in name):
            exc.field = name.format(index=exc.index)
        raise
