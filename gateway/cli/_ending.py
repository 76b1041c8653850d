"""A command that is told to end: it removes what it made for itself, and says what is left."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
"""What Python calls for a signal."""


class Interrupted(Exception):
    """A command was ended from outside. The message says what is left of its work."""

    def __init__(self, left: str, number: int) -> None:
        super().__init__(left)
        self.code = 128 + number


def handle_at_once(number: int, handler: Handler) -> None:
    """Let a signal call `handler` at once, also where the loop sleeps or works on.

    asyncio's own handlers wait for the loop; the signal's byte does nothing but wake it.
    """
    with suppress(NotImplementedError, RuntimeError):  # on Windows, or beside the main thread
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
        signal.signal(number, handler)


@contextmanager
def ending(left: str) -> Generator[None, None, None]:
    """End the coroutine in here by SIGTERM as by an interrupt: cancelled, so that it cleans up.

    Raises:
        Interrupted: it was ended; the message is `left`.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    received: list[int] = []

    def terminate(number: int, _: object) -> None:
        if not received and task is not None:
            task.cancel()
        received.append(number)

    handle_at_once(signal.SIGTERM, terminate)
    try:
        yield
    except asyncio.CancelledError:
        raise Interrupted(left, received[0] if received else signal.SIGINT) from None
    else:
        if task is not None and task.cancelling():  # it was told so when it waited for nothing more
            raise Interrupted(left, received[0] if received else signal.SIGINT)
    finally:
        with suppress(NotImplementedError, RuntimeError):
            loop.remove_signal_handler(signal.SIGTERM)
