"""`gateway model-server`."""

import signal
from enum import StrEnum
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import err, fail
from gateway.errors import GatewayError
from gateway.observability.logs import configure_logs

if TYPE_CHECKING:
    from gateway.modelserver.opening import Options


class EncoderChoice(StrEnum):
    local = "local"
    minilm = "minilm"
    fake = "fake"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Version(StrEnum):
    v1_9 = "1.9"
    v1_8 = "1.8"


_MODEL = "Model"
_CONTRACT = "Contract"
_LIMITS = "Limits"
_FAULTS = "Faults"

_FAULT_HELP = (
    "Faults to play: KIND\\[@ROUTE]\\[=SECONDS] and then *COUNT or :PROBABILITY\\[xBURST], comma "
    "separated, e.g. '429:0.05,reset:0.01,null*3'. A wrong KIND is answered with the list."
)


def model_server(
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub id of a sentence-transformers checkpoint.", rich_help_panel=_MODEL
        ),
    ] = None,
    encoder: Annotated[
        EncoderChoice,
        typer.Option(
            help="local: the checkpoint; minilm: the embedded model; fake: made-up vectors.",
            rich_help_panel=_MODEL,
        ),
    ] = EncoderChoice.local,
    revision: Annotated[
        str | None, typer.Option(help="Revision of a hub id.", rich_help_panel=_MODEL)
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(
            help="float32 or bfloat16; float16 is refused. Vectors leave in float32 either way.",
            rich_help_panel=_MODEL,
        ),
    ] = "float32",
    device: Annotated[
        Device, typer.Option(help="auto takes a GPU if there is one.", rich_help_panel=_MODEL)
    ] = Device.auto,
    threads: Annotated[
        int, typer.Option(min=1, help="Threads of one computation.", rich_help_panel=_MODEL)
    ] = 1,
    reranker: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub id of a cross-encoder: then /rerank answers. Without --model it is "
            "served alone.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to bind.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; it opens when the model is ready.")] = 8080,
    api_key: Annotated[str | None, typer.Option(help="Bearer key that callers must send.")] = None,
    contract: Annotated[
        Version,
        typer.Option(help="Answer as TEI 1.9.3 or as TEI 1.8.3.", rich_help_panel=_CONTRACT),
    ] = Version.v1_9,
    model_id_as: Annotated[
        str | None,
        typer.Option(
            help="What /info calls the model (default: --model).", rich_help_panel=_CONTRACT
        ),
    ] = None,
    served_model_name: Annotated[
        str | None,
        typer.Option(
            help="What /v1/embeddings calls the model (default: as /info).",
            rich_help_panel=_CONTRACT,
        ),
    ] = None,
    default_prompt: Annotated[
        str | None,
        typer.Option(help="Text put before inputs that name no prompt.", rich_help_panel=_CONTRACT),
    ] = None,
    default_prompt_name: Annotated[
        str | None,
        typer.Option(help="The same, by a name of the checkpoint.", rich_help_panel=_CONTRACT),
    ] = None,
    auto_truncate: Annotated[
        bool | None,
        typer.Option(
            "--auto-truncate/--no-auto-truncate",
            help="Cut long texts unless the request says otherwise (default: as the version).",
            rich_help_panel=_CONTRACT,
        ),
    ] = None,
    max_batch_tokens: Annotated[
        int,
        typer.Option(min=1, help="Padded tokens of a forward pass.", rich_help_panel=_LIMITS),
    ] = 16_384,
    max_batch_requests: Annotated[
        int | None,
        typer.Option(min=1, help="Inputs of a forward pass.", rich_help_panel=_LIMITS),
    ] = None,
    max_client_batch_size: Annotated[
        int, typer.Option(min=1, help="Inputs of a request.", rich_help_panel=_LIMITS)
    ] = 32,
    max_concurrent_requests: Annotated[
        int, typer.Option(min=1, help="Inputs at the same time.", rich_help_panel=_LIMITS)
    ] = 512,
    payload_limit: Annotated[
        int, typer.Option(min=1, help="Bytes of a body.", rich_help_panel=_LIMITS)
    ] = 2_000_000,
    faults: Annotated[
        str, typer.Option(metavar="SPEC", help=_FAULT_HELP, rich_help_panel=_FAULTS)
    ] = "",
    fault_control: Annotated[
        bool,
        typer.Option(
            "--fault-control",
            help="Open the route /_faults, which sets faults while the server runs.",
            rich_help_panel=_FAULTS,
        ),
    ] = False,
    latency: Annotated[
        float,
        typer.Option(min=0, help="Seconds added to each request.", rich_help_panel=_FAULTS),
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(help="Seed of faults drawn by chance.", rich_help_panel=_FAULTS)
    ] = 0,
) -> None:
    """Serve an encoder under TEI's own HTTP contract, for tests, laptops and bfloat16 on a GPU.

    Examples:

      gateway model-server --model ./embeddinggemma-300m --port 8081

      gateway model-server --model google/embeddinggemma-300m --dtype bfloat16 --device cuda

      gateway model-server --reranker BAAI/bge-reranker-v2-m3 --port 8082

      gateway model-server --encoder fake --faults '429:0.05,reset:0.01' --seed 7
    """
    from gateway.modelserver.opening import Options  # noqa: PLC0415

    configure_logs("warning", "console")
    options = Options(
        encoder=encoder.value,
        model=model,
        revision=revision,
        reranker=reranker,
        dtype=dtype,
        device=device.value,
        threads=threads,
        contract=contract.value,
        model_id_as=model_id_as,
        served_model_name=served_model_name,
        api_key=api_key,
        default_prompt=default_prompt,
        default_prompt_name=default_prompt_name,
        auto_truncate=auto_truncate,
        max_batch_tokens=max_batch_tokens,
        max_batch_requests=max_batch_requests,
        max_client_batch_size=max_client_batch_size,
        max_concurrent_requests=max_concurrent_requests,
        payload_limit=payload_limit,
        latency=latency,
        faults=faults,
        fault_control=fault_control,
        seed=seed,
    )
    try:
        _run(options, host, port)
    except GatewayError as exc:
        fail(exc)
    except KeyboardInterrupt:
        err.print("stopped")


def _run(options: "Options", host: str, port: int) -> None:
    from gateway.modelserver.opening import open_app  # noqa: PLC0415
    from gateway.modelserver.server import event_loop, listen, serve  # noqa: PLC0415

    async def main() -> None:
        async with open_app(options) as app:
            contract = app.service.contract
            with listen(host, port) as listener:
                err.print(
                    f"serving {contract.model_id} in {contract.model_dtype} on "
                    f"http://{host}:{listener.getsockname()[1]} as TEI {contract.version}",
                    markup=False,
                )
                signal.signal(signal.SIGTERM, _finished)
                await serve(app, listener)

    with event_loop() as runner:
        runner.run(main())


def _finished(_number: int, _frame: FrameType | None) -> None:
    """Take the SIGTERM that uvicorn sends again once all is finished: the process then exits 0."""
