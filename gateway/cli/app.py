"""The command tree. Commands live in their own modules; this file only hangs them up."""

import typer

from gateway import __version__
from gateway.cli import (
    collections,
    config,
    embed,
    eval,
    ingest,
    model_server,
    parity,
    profiles,
    search,
    serve,
    tune,
)
from gateway.cli.doctor import doctor

app = typer.Typer(
    name="gateway",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="EmbeddingGemma done right: canonical prompts, verified vectors, search over Qdrant.",
    epilog="Settings: flags over GATEWAY_* variables over gateway.toml; see 'gateway config show'.",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """EmbeddingGemma done right: canonical prompts, verified vectors, search over Qdrant."""


app.command()(serve.serve)
app.command()(ingest.ingest)
app.command()(search.search)
app.command()(embed.embed)
app.command("eval")(eval.evaluate)
app.command()(doctor)
app.command("model-server")(model_server.model_server)
app.add_typer(parity.app, name="parity")
collections.app.command("tune")(tune.tune)
app.add_typer(collections.app, name="collections")
app.add_typer(profiles.app, name="profile")
app.add_typer(config.app, name="config")
