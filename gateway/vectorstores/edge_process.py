"""The gateway's side of the worker process: talk to it, survive its death.

A dead worker fails the calls it had (they may be tried again: every operation is idempotent) and
the next call starts another one, which replays the engine's log. A worker busy building an index
is stopped for the sake of a waiting call: the log and the old segments are whole, the index is
tried again after a longer quiet time.
"""

import asyncio
import contextlib
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import (
    CollectionNotFound,
    UpstreamError,
    UpstreamQuota,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.events import WorkerRestarted
from gateway.vectorstores import edge_wire as wire
from gateway.vectorstores.edge_launch import SERVICE, WorkerOptions, kill, launch, unavailable

_IN_FLIGHT: Final = 16
_STOP_SECONDS: Final = 120.0
_IDLE_MOST: Final = 600.0
_RESTARTS: Final = 5
_WINDOW_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Call:
    """A request on its way; `reply` may outlive its caller, and the slot is freed with it."""

    frame: bytes
    reply: "asyncio.Future[tuple[str, Any]]"


class EdgeProcess:
    """One worker at a time, and the calls it owes an answer."""

    def __init__(self, options: WorkerOptions) -> None:
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._rescue: asyncio.Task[None] | None = None
        self._calls: dict[int, _Call] = {}
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._starting = asyncio.Lock()
        self._number = wire.NOTICE
        self._idle_seconds = options.idle_seconds
        self._indexing = False
        self._deaths: deque[float] = deque(maxlen=_RESTARTS)
        self._restarts = 0
        self._closed = False
        self.specs: list[dict[str, Any]] = []

    @property
    def alive(self) -> bool:
        return self._process is not None

    @property
    def indexing(self) -> bool:
        """Say whether the worker is busy with an index; the next call will stop it."""
        return self._indexing

    @property
    def pid(self) -> int | None:
        """Process id of the living worker."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the first worker; `specs` then holds the collections found.

        Raises:
            StoreLocked: another process has the folder.
            UpstreamUnavailable: the worker did not come up.
        """
        async with self._starting:
            await self._spawn()

    async def call(self, operation: str, *, _timeout: float | None = None, **arguments: Any) -> Any:
        """Run one operation in the worker and return its value, within the store's timeout or another.

        Raises:
            CollectionNotFound: the worker has no such collection.
            UpstreamTimeout: no answer in time; the operation may still happen.
            UpstreamUnavailable: the worker died.
        """
        seconds = self._options.timeout_seconds if _timeout is None else _timeout
        try:
            async with asyncio.timeout(seconds):
                status, value = await self._exchange(operation, arguments)
        except TimeoutError as exc:
            raise UpstreamTimeout(
                f"the embedded store did not finish {operation!r} in {seconds:g} s; try again, or "
                "raise its timeout",
                service=SERVICE,
                retry_after_seconds=5,
            ) from exc
        if status != wire.OK:
            raise _refusal(operation, status, value)
        return value

    async def aclose(self) -> None:
        """Let the worker finish, flush and end; a second call finds nothing to do."""
        self._closed = True
        async with self._starting:
            process, self._process = self._process, None
            if process is None:
                return
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            if self._listener is not None:
                await self._listener
            self._fail_calls("was closed before it answered")

    async def _exchange(self, operation: str, arguments: dict[str, Any]) -> tuple[str, Any]:
        await self._slots.acquire()
        self._number += 1
        number = self._number
        try:
            data = wire.frame((number, operation, arguments))
            async with self._starting:
                process = await self._living()
                call = _Call(data, asyncio.get_running_loop().create_future())
                call.reply.add_done_callback(lambda _: self._slots.release())
                self._calls[number] = call
                _send(process, data)
        except BaseException:
            if number not in self._calls:
                self._slots.release()
            raise
        return await asyncio.shield(call.reply)

    async def _living(self) -> asyncio.subprocess.Process:
        """Return a worker fit for a call, starting one when there is none."""
        if self._closed:
            raise UpstreamUnavailable("the embedded store is closed", service=SERVICE)
        if self._process is None:
            self._require_patience()
            await self._spawn()
            self._restarts += 1
        if self._indexing:
            await self._preempt()
        assert self._process is not None
        return self._process

    def _require_patience(self) -> None:
        if len(self._deaths) == _RESTARTS:
            wait = self._deaths[0] + _WINDOW_SECONDS - time.monotonic()
            if wait > 0:
                raise UpstreamUnavailable(
                    f"the worker of the embedded store died {_RESTARTS} times within "
                    f"{_WINDOW_SECONDS:g} s; see its messages on standard error, and check the "
                    f"disk under {self._options.root}",
                    service=SERVICE,
                    retry_after_seconds=wait,
                )

    async def _spawn(self) -> None:
        process, self.specs = await launch(self._options, self._idle_seconds)
        self._process = process
        self._indexing = False
        self._listener = asyncio.create_task(self._listen(process, process.stdout))

    async def _listen(self, process: asyncio.subprocess.Process, pipe: Any) -> None:
        """Hand replies to their callers until the worker ends, and bury it then."""
        while (reply := await wire.read_reply(pipe)) is not None:
            number, status, value = reply
            if number == wire.NOTICE:
                self._notice(status)
                continue
            call = self._calls.pop(number, None)
            if call is not None and not call.reply.done():
                call.reply.set_result((status, value))
        code = await process.wait()
        if self._process is process:
            self._process = None
            self._died(code)

    def _notice(self, status: str) -> None:
        self._indexing = status == wire.INDEXING
        if status == wire.INDEXED:
            self._idle_seconds = self._options.idle_seconds
        if self._indexing and self._calls:
            self._rescue = asyncio.create_task(self._rescue_calls())

    async def _rescue_calls(self) -> None:
        async with self._starting:
            if self._indexing and not self._closed:
                with contextlib.suppress(UpstreamError):  # told to the calls themselves
                    await self._preempt()

    def _died(self, code: int | None) -> None:
        self._deaths.append(time.monotonic())
        self._fail_calls(f"died (exit code {code}) before it answered; try again")
        if not self._closed:
            self._options.sink(WorkerRestarted(code, self._restarts + 1))

    def _fail_calls(self, why: str) -> None:
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if not call.reply.done():
                call.reply.set_exception(unavailable(why))
                call.reply.exception()  # its caller may have given up

    async def _preempt(self) -> None:
        """Stop a worker that builds an index; what it was not asked in time goes to the next."""
        process, self._process = self._process, None
        self._idle_seconds = min(self._idle_seconds * 2, _IDLE_MOST)
        if process is not None:
            await kill(process)
        try:
            await self._spawn()
        except BaseException:
            self._fail_calls("did not come back; try again")
            raise
        assert self._process is not None
        for call in self._calls.values():
            _send(self._process, call.frame)


def _send(process: asyncio.subprocess.Process, data: bytes) -> None:
    """Queue a frame; when the pipe is broken the listener fails the call."""
    assert process.stdin is not None
    process.stdin.write(data)


def _refusal(operation: str, status: str, value: Any) -> Exception:
    if status == wire.MISSING:
        return CollectionNotFound(str(value))
    if status == wire.FULL:
        return UpstreamQuota(
            f"the embedded store has no disk space left for {operation!r}: {value}; free some",
            service=SERVICE,
        )
    return UpstreamRejected(f"the embedded engine refused {operation!r}: {value}", service=SERVICE)
