"""`gateway parity` and `gateway parity record`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli._parity_output import Telling, print_report, write_files
from gateway.cli._printing import printing
from gateway.cli.common import (
    FAILED,
    Config,
    Set,
    err,
    fail,
    never_a_verdict,
    read_settings,
    run_for_verdict,
)
from gateway.domain.recording import Recording
from gateway.embedding.profile import ModelProfile
from gateway.errors import ConfigurationError
from gateway.observability.logs import configure_logs
from gateway.parity.bars import BARS
from gateway.parity.checkpoint import require_prompts
from gateway.parity.opening import (
    Opening,
    compared_profile,
    configured_candidate,
    gateway_candidate,
    load_truth,
    open_reference,
    run_parity,
    tei_candidate,
)
from gateway.parity.report import Report
from gateway.parity.truth import record as record_reference
from gateway.settings import Settings

app = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")

Reference = Annotated[
    str | None,
    typer.Option(help="Checkpoint of the reference: a folder or hub id; the profile's by default."),
]
Device = Annotated[str, typer.Option(help="Where the reference runs: cpu, cuda, mps or auto.")]
_CANDIDATE = "Candidate (none of these: the encoder that the settings name)"
_REPORT = "Report"


@app.callback()
def parity(
    context: typer.Context,
    tei: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help="A TEI or model server; give it again for each replica.",
            rich_help_panel=_CANDIDATE,
        ),
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="A running gateway, over HTTP.", rich_help_panel=_CANDIDATE
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(help="Key of --tei or --gateway.", rich_help_panel=_CANDIDATE),
    ] = None,
    reference: Reference = None,
    recording: Annotated[
        Path | None,
        typer.Option(help="Recorded reference, instead of loading one (gateway parity record)."),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(help=f"Bars to hold it to: {', '.join(BARS)}; default: what it says."),
    ] = None,
    device: Device = "cpu",
    as_json: Annotated[
        Path | None,
        typer.Option(
            "--json", metavar="FILE", help="Write JSON; '-': stdout.", rich_help_panel=_REPORT
        ),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write JUnit XML.", rich_help_panel=_REPORT),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write one HTML page.", rich_help_panel=_REPORT),
    ] = None,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Prove that a server makes the vectors of sentence-transformers, layer by layer.

    Exit codes: 0 in parity, 1 not in parity, 2 could not be compared.

    Examples:

      gateway parity --tei http://tei:80 --recording reference.json --html parity.html

      gateway parity --gateway http://127.0.0.1:8080 --reference ./embeddinggemma-300m

      gateway parity --set openai.url=http://127.0.0.1:8081 --set openai.tokenizer=./tokenizer.json
    """
    if context.invoked_subcommand is not None:
        return
    _require_choices(dtype, reference, recording)

    async def main() -> Report:
        settings = _opened(config, assignments)
        profile = compared_profile(settings, elsewhere=bool(tei or gateway))
        openings = _openings(settings, profile, tei, gateway, api_key)
        with Telling() as progress:
            truth = await load_truth(
                profile,
                recording=recording or (None if reference else settings.recording),
                reference=reference or settings.local.model,
                device=device,
                threads=settings.threads,
                progress=progress,
            )
            return await run_parity(openings, truth, profile, dtype=dtype, progress=progress)

    report = run_for_verdict(main)
    with never_a_verdict():
        _conclude(report, as_json=as_json, junit=junit, html=html)
    if not report.ok:
        raise typer.Exit(FAILED)


@app.command()
def record(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write.")],
    reference: Reference = None,
    device: Device = "cpu",
    brief: Annotated[
        bool,
        typer.Option(
            "--brief",
            help="Short texts only: for the setting `recording`, which is asked for at every start.",
        ),
    ] = False,
    config: Config = None,
    assignments: Set = None,
) -> None:
    """Write down the vectors of the reference, to compare with where it cannot be loaded.

    The file is what `--recording` and the setting `recording` take.

    Example: gateway parity record --reference ./embeddinggemma-300m --out reference.json
    """

    async def main() -> Recording:
        settings = _opened(config, assignments)
        profile = compared_profile(settings, elsewhere=True)
        with Telling() as progress:
            model = reference or settings.local.model
            async with open_reference(
                model or profile.model_id,
                revision=None if model else profile.revision,
                device=device,
                threads=settings.threads,
            ) as encoder:
                require_prompts(encoder.prompts, profile)
                return await record_reference(encoder, profile, progress, brief=brief)

    recording = run_for_verdict(main)
    try:
        recording.save(out)
    except OSError as exc:
        fail(ConfigurationError(f"cannot write {str(out)!r}: {exc.strerror}"))
    with never_a_verdict(), printing():
        err.print(f"{len(recording.items)} texts of space {recording.space} in {out}", markup=False)


def _conclude(
    report: Report, *, as_json: Path | None, junit: Path | None, html: Path | None
) -> None:
    """Write the files, then print; a reader who has gone does not change the verdict."""
    with printing():
        write_files(report, as_json=as_json, junit=junit, html=html)
        if as_json is None or str(as_json) != "-":
            print_report(report)


def _require_choices(dtype: str | None, reference: str | None, recording: Path | None) -> None:
    if dtype is not None and dtype not in BARS:
        raise typer.BadParameter(f"known are {', '.join(BARS)}", param_hint="--dtype")
    if reference is not None and recording is not None:
        raise typer.BadParameter("give one of both", param_hint="--reference, --recording")


def _opened(config: Path | None, assignments: list[str] | None) -> Settings:
    settings = read_settings(config, assignments)
    configure_logs("warning" if settings.log.level == "info" else settings.log.level, "console")
    return settings


def _openings(
    settings: Settings,
    profile: ModelProfile,
    tei: Sequence[str] | None,
    gateway: str | None,
    api_key: str | None,
) -> list[Opening]:
    if api_key is None and settings.tei.api_key is not None and tei:
        api_key = settings.tei.api_key.get_secret_value()
    openings = [tei_candidate(url, api_key) for url in tei or ()]
    if gateway is not None:
        openings.append(gateway_candidate(gateway, profile.name, api_key))
    return openings or [configured_candidate(settings)]
