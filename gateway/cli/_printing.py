"""Output that its reader may stop reading, or that cannot be written."""

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from gateway.errors import ConfigurationError


@contextmanager
def printing() -> Generator[None, None, None]:
    """Print what is printed here to its end; a reader who has gone ends it, and nothing else.

    Raises:
        ConfigurationError: standard output or error cannot be written, as on a full disk.
    """
    try:
        yield
        for stream in _streams():
            stream.flush()
    except BrokenPipeError:
        _forget_unwritten()
    except OSError as exc:
        _forget_unwritten()
        raise ConfigurationError(f"the output cannot be written: {exc}") from exc
    except UnicodeEncodeError as exc:
        raise ConfigurationError(
            f"the output cannot be written in {exc.encoding}: set PYTHONUTF8=1"
        ) from exc


def _forget_unwritten() -> None:
    """Turn a stream that cannot be written to nowhere, else it fails again when Python ends."""
    for stream in _streams():
        try:
            stream.flush()
        except OSError:
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  its number is what counts
                os.dup2(nowhere.fileno(), stream.fileno())


def _streams() -> list[TextIO]:
    """Standard output and error; Python has none of one that was closed before it began."""
    found: tuple[TextIO | None, ...] = (sys.stdout, sys.stderr)
    return [stream for stream in found if stream is not None]
