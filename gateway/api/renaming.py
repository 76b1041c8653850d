"""Errors name fields in the caller's words: the same `text` is `query` here and `inputs[3].text` there."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from gateway.errors import InvalidRequest


@contextmanager
def renamed(names: Mapping[str, str]) -> Generator[None, None, None]:
    """Rename the field of an `InvalidRequest` on its way out, as `rename` does."""
    try:
        yield
    except InvalidRequest as exc:
        rename(exc, names)
        raise


def rename(error: InvalidRequest, names: Mapping[str, str]) -> None:
    """Rename the field of an error; `{index}` stands for its index.

    A field of no index keeps its name where the new one needs an index.
    """
    name = names.get(error.field or "")
    if name is not None and (error.index is not None or "{index}" not in name):
        error.field = name.format(index=error.index)
