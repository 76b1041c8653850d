"""The last part of a path as the caller wrote it: ids may hold slashes, dots and any script."""

from urllib.parse import unquote

from gateway.api.bodies import AnyRequest
from gateway.errors import InvalidRequest


def tail_of(request: AnyRequest, marker: str) -> str:
    """Return what follows the first `marker` in the request's path, percent-decoded once.

    The framework's own path parameter is normalised (`a//b` becomes `a/b`), which would name
    another document.

    Raises:
        InvalidRequest: it is not UTF-8.
    """
    raw: bytes = request.scope["raw_path"]
    _, _, tail = raw.partition(b"?")[0].decode("latin-1").partition(marker)
    try:
        return unquote(tail, encoding="utf-8", errors="strict")
    except UnicodeDecodeError as exc:
        raise InvalidRequest(
            f"the end {tail!r} of the path is not UTF-8 when decoded; percent-encode the name's "
            "bytes in UTF-8",
            field="path",
        ) from exc
