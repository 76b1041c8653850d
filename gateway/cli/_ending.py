"""A command that is told to end: it removes what it made for itself, and says what is left."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress


class Interrupted(Exception):
    """A command was ended from outside. The message says what is left of its work."""

    def __init__(self, left: str, number: int) -> None:
        super().__init__(left)
        self.code = 128 + number


@contextmanager
def ending(left: str) -> Generator[None, None, None]:
    """End the coroutine in here by SIGTERM as by an interrupt: cancelled, so that it cleans up.

    Raises:
        Interrupted: it was ended; the message is `left`.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    received: list[int] = []

    def terminate() -> None:
        if not received and task is not None:
            task.cancel()
        received.append(signal.SIGTERM)

    with suppress(NotImplementedError, RuntimeError):  # on Windows, or beside the main thread
        loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        yield
    except asyncio.CancelledError:
        raise Interrupted(left, received[0] if received else signal.SIGINT) from None
    finally:
        with suppress(NotImplementedError, RuntimeError):
            loop.remove_signal_handler(signal.SIGTERM)
