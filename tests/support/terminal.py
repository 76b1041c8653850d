"""`gateway` at a terminal of its own: what it shows, what is typed, and the interrupt key."""

import os
import pty
import select
import subprocess
import sys
import time
from types import TracebackType
from typing import Final, Self

from tests.support.cli import Shell

SECONDS: Final = 60.0
"""How long anything expected may take to be shown."""
INTERRUPT: Final = b"\x03"


class Terminal:
    """Runs one command in a new session whose terminal it controls."""

    def __init__(self, *arguments: str, at: Shell) -> None:
        self._arguments = arguments
        self._shell = at
        self._shown = ""

    def __enter__(self) -> Self:
        self._screen, keyboard = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", CONTROLLING, *self._arguments],
            cwd=self._shell.home,
            env=self._shell.environment(TERM="dumb"),
            stdin=keyboard,
            stdout=keyboard,
            stderr=keyboard,
            start_new_session=True,
        )
        os.close(keyboard)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    def expect(self, text: str) -> None:
        """Read on until `text` was shown after what was expected before."""
        end = time.monotonic() + SECONDS
        while text not in self._shown:
            assert select.select([self._screen], [], [], end - time.monotonic())[0], (
                f"{text!r} was not shown after: {self._shown}"
            )
            self._shown += self._read()
        self._shown = self._shown.partition(text)[2]

    def type(self, line: str) -> None:
        os.write(self._screen, line.encode() + b"\n")

    def interrupt(self) -> None:
        """Press the interrupt key: the terminal signals whoever reads from it."""
        os.write(self._screen, INTERRUPT)

    def code(self) -> int:
        return self._process.wait(SECONDS)

    def _read(self) -> str:
        try:
            read = os.read(self._screen, 65536)
        except OSError:  # Linux says so where the other end is closed
            read = b""
        assert read, f"it ended, and showed last: {self._shown}"
        return read.decode(errors="replace")


CONTROLLING: Final = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv[0] = "gateway"
runpy.run_module("gateway", run_name="__main__")
"""
