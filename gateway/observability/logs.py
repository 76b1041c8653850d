"""Structured logs on standard error: facts and ids, never texts, vectors or secrets."""

import logging
import sys
from typing import Final, Literal, TextIO, cast

import structlog

from gateway.events import (
    CacheFailed,
    CanaryFinished,
    Event,
    ReplicaChanged,
    UpstreamCalled,
    UpstreamRetried,
    WorkerRestarted,
)

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

REPLICA = {"closed": "is asked", "half-open": "is on trial", "open": "is left out"}

_LOG: Final = structlog.get_logger("gateway")


class _StandardError:
    """Whatever standard error is when a line is written: our logger outlives a redirection of it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logs(
    level: Literal["debug", "info", "warning", "error"], style: Literal["auto", "json", "console"]
) -> None:
    """Route structlog and the standard library's loggers to standard error in one format."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    watched = sys.stderr.isatty()
    console = style == "console" or (style == "auto" and watched)
    renderer = (
        structlog.dev.ConsoleRenderer(colors=watched)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(  # our own lines do not go through `logging`: that costs thrice the CPU
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _StandardError())),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(LEVELS[level])
    for noisy in ("httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_events(event: Event) -> None:
    """Log the events that an operator should see (a `Sink`); the frequent ones are metrics only."""
    log = _LOG
    match event:
        case UpstreamRetried(service=service, operation=operation, slug=slug, attempt=attempt):
            log.warning(
                "upstream call failed, retrying",
                service=service,
                operation=operation,
                error=slug,
                attempt=attempt,
            )
        case UpstreamCalled(service=service, operation=operation, outcome=outcome) if (
            outcome != "ok"
        ):
            log.info("upstream call failed", service=service, operation=operation, error=outcome)
        case ReplicaChanged(service=service, where=where, state=state, reason=reason):
            tell = log.info if state == "closed" else log.warning
            tell("replica " + REPLICA[state], service=service, replica=where, reason=reason)
        case CanaryFinished(service=service, where=where, outcome=outcome, reason=reason) if (
            outcome != "ok"
        ):
            tell = log.error if outcome == "drift" else log.warning
            tell("canary: " + outcome, service=service, replica=where, reason=reason)
        case WorkerRestarted(exit_code=exit_code, restarts=restarts):
            log.error("store worker died, restarted", exit_code=exit_code, restarts=restarts)
        case CacheFailed(cache=cache, operation=operation, reason=reason) if reason != "full":
            log.warning("cache failed", cache=cache, operation=operation, error=reason)
        case _:
            return
