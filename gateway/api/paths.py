"""The last part of a path as the caller wrote it: ids may hold slashes, dots and any script."""

from urllib.parse import unquote

from gateway.api.bodies import AnyRequest
from gateway.errors import InvalidText


def tail_of(request: AnyRequest, marker: str) -> str:
    """Return what follows the first `marker` in the request's path, percent-decoded once.

    The framework's own path parameter is normalised (`a//b` becomes `a/b`), which would name
    another document.

    Raises:
        InvalidText: it is not UTF-8.
    """
    raw: bytes = request.scope["raw_path"]
    _, _, tail = raw.partition(b"?")[0].decode("latin-1").partition(marker)
    try:
        return unquote(tail, encoding="utf-8", errors="strict")
    except UnicodeDecodeError as exc:
        raise InvalidText(f"the path {tail!r} is not percent-encoded UTF-8", field="path") from exc
