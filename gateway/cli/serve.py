"""`gateway serve`."""

import signal
from types import FrameType
from typing import Annotated

import typer

from gateway.cli.common import Config, Set, err, fail, read_settings
from gateway.errors import GatewayError
from gateway.observability.logs import configure_logs


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to bind \\[default: 127.0.0.1].")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind \\[default: 8080].")] = None,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Serve the HTTP API: /v1/embeddings, /api/v1, /docs.

    Examples:

      gateway serve

      GATEWAY_TEI__URLS=http://tei:80 GATEWAY_QDRANT__URL=http://qdrant:6333 gateway serve

      gateway serve --host 0.0.0.0 --set server.api_keys=KEY
    """
    from gateway.api.server import serve as run_server  # noqa: PLC0415

    signal.signal(signal.SIGTERM, _drained)
    try:
        settings = read_settings(config, assignments, server__host=host, server__port=port)
        configure_logs(settings.log.level, settings.log.format)
        run_server(settings)
    except GatewayError as exc:
        fail(exc)
    except KeyboardInterrupt:
        err.print("stopped")


def _drained(_number: int, _frame: FrameType | None) -> None:
    """Take the SIGTERM that uvicorn sends again once all is finished: the process then exits 0."""
