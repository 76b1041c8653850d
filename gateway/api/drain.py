"""What a stopping server tells the streams that are still being read."""

import time


class Drain:
    """Streams read on for half of the time that a stopping server grants, then report.

    The other half is for embedding and storing what was read.
    """

    def __init__(self) -> None:
        self._until: float | None = None

    def begin(self, grace_seconds: float) -> None:
        """Say that the server stops; the first call counts."""
        if self._until is None:
            self._until = time.monotonic() + grace_seconds / 2

    def seconds_left(self) -> float | None:
        """Time left to read, not below 0; None while the server is not stopping."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())
