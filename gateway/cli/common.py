"""What every command shares: options, the runtime around it, output, exit codes."""

import asyncio
import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Annotated, Any, NoReturn, TypeVar, cast

import typer
from rich.console import Console
from rich.table import Table

from gateway.bootstrap import Runtime, open_runtime
from gateway.cli._ending import Interrupted, handle_at_once
from gateway.cli._printing import printing
from gateway.errors import (
    ConfigurationError,
    Conflict,
    GatewayError,
    InvalidRequest,
    NotFound,
    Unauthorized,
)
from gateway.observability.logs import configure_logs
from gateway.settings import Layer, Settings, load_settings

FAILED = 1
ASKED_WRONGLY = 2
INTERRUPTED = 130
_ANY_WIDTH = 10_000
_ONES_OWN = (InvalidRequest, NotFound, Conflict, Unauthorized, ConfigurationError)

T = TypeVar("T")


class _Printer(Console):
    def on_broken_pipe(self) -> None:
        """Raise what happened: rich would leave with 1, whatever the command came to."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


out = _Printer(highlight=False, soft_wrap=True)
err = _Printer(stderr=True, highlight=False, soft_wrap=True)

Config = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file; default: $GATEWAY_CONFIG, then ./gateway.toml."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, e.g. --set tei.urls=http://tei"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
AllowPrompted = Annotated[
    bool,
    typer.Option("--allow-prompted", help="Take texts that begin with a prompt as they are."),
]
Truncate = Annotated[
    bool,
    typer.Option(
        "--truncate", help="Cut texts over the model's limit, and say so, not refuse them."
    ),
]
Golden = Annotated[
    Path,
    typer.Argument(help="Golden set in BEIR layout: a folder or a .zip, its files gzipped or not."),
]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Name of the collection.")]


def read_settings(config: Path | None, assignments: list[str] | None, **flags: object) -> Settings:
    """Settings of a command: its flags over `--set` over environment over file.

    `flags` maps dotted paths (with `__` for the dot) to values; None means not given.
    """
    layer: Layer = {}
    for assignment in assignments or []:
        key, sep, value = assignment.partition("=")
        if not sep:
            raise ConfigurationError(f"--set wants KEY=VALUE, got {assignment!r}")
        put(layer, key.strip(), value)
    for key, value in flags.items():
        if value is not None:
            put(layer, key.replace("__", "."), value)
    return load_settings(layer, config_file=config)


def put(layer: Layer, path: str, value: object) -> None:
    """Set a dotted path in a layer of settings."""
    *parents, last = path.split(".")
    for key in parents:
        layer = layer.setdefault(key, {})
    layer[last] = value


@asynccontextmanager
async def runtime_of(settings: Settings) -> AsyncGenerator[Runtime, None]:
    """Open the gateway's parts for one command; only warnings are logged."""
    configure_logs("warning" if settings.log.level == "info" else settings.log.level, "console")
    settings = settings.model_copy(
        update={"canary": settings.canary.model_copy(update={"seconds": 0.0})}
    )
    async with open_runtime(settings) as runtime:
        yield runtime


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's coroutine; our errors become one line and an exit code."""
    try:
        return asyncio.run(_woken_by_interrupts(main))
    except GatewayError as exc:
        fail(exc)
    except BaseExceptionGroup as group:
        fail(_first(group))
    except Interrupted as exc:
        _interrupted(str(exc), exc.code)
    except KeyboardInterrupt:
        _interrupted("what was acknowledged is stored", INTERRUPTED)


async def _woken_by_interrupts(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command so that an interrupt ends a loop that sleeps.

    Else one that reaches another thread, or the loop just before it sleeps, is only noted. What is
    done about it stays asyncio's.
    """
    handle_at_once(signal.SIGINT, signal.getsignal(signal.SIGINT))
    return await main()


async def ask(question: Callable[[], T]) -> T:
    """Wait for an answer at the terminal beside the loop; an interrupt does not wait for it.

    `asyncio.to_thread` would: its threads are joined before the process may end.
    """
    answer: Future[T] = Future()

    def wait() -> None:
        answer.set_running_or_notify_cancel()
        try:
            answer.set_result(question())
        except BaseException as exc:  # noqa: BLE001  the end of the input too is for who asked
            answer.set_exception(exc)

    Thread(target=wait, name="terminal", daemon=True).start()
    return await asyncio.wrap_future(answer)


def run_for_verdict(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command whose code 1 is a verdict: whatever keeps it from one leaves with 2."""
    with never_a_verdict():
        return run(main)


@contextmanager
def never_a_verdict() -> Generator[None, None, None]:
    """Leave with 2 where what is done here fails; what nobody foresaw prints its traceback."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except typer.Exit as left:
        raise typer.Exit(ASKED_WRONGLY if left.exit_code == FAILED else left.exit_code) from None
    except GatewayError as exc:
        _say(exc)
        raise typer.Exit(ASKED_WRONGLY) from None
    except Exception:  # noqa: BLE001  else it would leave with 1, a verdict
        with suppress(OSError):
            traceback.print_exc()
        raise typer.Exit(ASKED_WRONGLY) from None


def fail(exc: GatewayError) -> NoReturn:
    """Print an error and leave: 2 where one must mend it, else 1.

    What HTTP answers with 4xx is one's own to mend; a server that is down is not.
    """
    _say(exc)
    raise typer.Exit(ASKED_WRONGLY if isinstance(exc, _ONES_OWN) else FAILED) from None


def _say(exc: GatewayError) -> None:
    """Print an error to whoever still reads it."""
    with suppress(ConfigurationError), printing():
        print_error(exc)


def _interrupted(left: str, code: int) -> NoReturn:
    """Say what is left, to whoever still reads it, and leave."""
    with suppress(ConfigurationError), printing():
        err.print(f"interrupted; {left}", markup=False)
    raise typer.Exit(code) from None


def print_error(exc: GatewayError) -> None:
    """Print an error on standard error: its kind, then what happened and the remedy."""
    err.print(f"[bold red]error[/] ({exc.slug}): ", end="")
    err.print(str(exc), markup=False)


def warn(text: str) -> None:
    """Print a warning on standard error."""
    err.print("[bold yellow]warning[/]: ", end="")
    err.print(text, markup=False)


def print_table(table: Table) -> None:
    """Print a table in its natural width: nothing is shortened, wherever it is read."""
    table.width = out.measure(table, options=out.options.update(max_width=_ANY_WIDTH)).maximum
    out.print(table, crop=False)


def print_json(value: object) -> None:
    """Write one JSON document to standard output, UTF-8, stable order."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def _first(group: BaseExceptionGroup[BaseException]) -> GatewayError:
    """Return the first of our errors in a group of a task group; raise the group if none is."""
    for inner in group.exceptions:
        if isinstance(inner, GatewayError):
            return inner
        if isinstance(inner, BaseExceptionGroup):
            return _first(cast("BaseExceptionGroup[BaseException]", inner))
    raise group
