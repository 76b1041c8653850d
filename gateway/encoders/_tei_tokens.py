"""The model's own tokenizer beside a TEI server: found on disk, held against the server's."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from gateway.encoders._tokens import ExactTokens
from gateway.errors import ConfigurationError
from gateway.tei.pool import Pool

FILE_NAME: Final = "tokenizer.json"
PROBES: Final = (
    "a",
    "Hello, world! It's 1,234.5 %",
    "Съешь же ещё этих мягких французских булок",
    "naïve café — 你好，世界 🙂👍🏽",
    "def f(x):\n\treturn  x  # two  spaces\n",
)


def load_tokens(path: Path, model_ids: Sequence[str], max_tokens: int) -> ExactTokens:
    """Read the tokenizer of one of the models from a file, or from a folder that holds it.

    A folder may be the model's own, a hub cache, or one with `org/name` or `name` inside. Blocks:
    a large vocabulary takes a second.

    Raises:
        ConfigurationError: none is there, or it cannot be read.
    """
    found = path if path.is_file() else next(_candidates(path, model_ids), None)
    if found is None:
        raise ConfigurationError(
            f"no {FILE_NAME} of {' or '.join(map(repr, model_ids))} under {str(path)!r}: name the "
            "file itself, or a hub cache that holds the model"
        )
    try:
        return ExactTokens(found.read_text("utf-8"), model_id=model_ids[0], max_tokens=max_tokens)
    except Exception as exc:  # the library raises bare Exception on a malformed file
        raise ConfigurationError(f"{str(found)!r} is not a readable tokenizer: {exc}") from exc


async def require_same_tokens(tokens: ExactTokens, pool: Pool) -> None:
    """Hold a local tokenizer against the server's on a few probe strings.

    Raises:
        ConfigurationError: they read a probe differently.
    """
    served = [[token.id for token in row] for row in await pool.tokens(PROBES)]
    for probe, local, remote in zip(PROBES, tokens.encode(PROBES), served, strict=True):
        if local.ids != remote:
            raise ConfigurationError(
                f"the local tokenizer reads {probe!r} as {len(local.ids)} tokens, TEI as "
                f"{len(remote)} others: point tei.tokenizer at the {FILE_NAME} "
                "of the served model, or leave it out (and start TEI without --default-prompt)"
            )


def _candidates(folder: Path, model_ids: Sequence[str]) -> Iterator[Path]:
    places = [folder]
    for model_id in model_ids:
        places += _snapshots(folder, model_id)
        places += _snapshots(folder / "hub", model_id)
        places += [folder / model_id, folder / model_id.rpartition("/")[2]]
    return (place / FILE_NAME for place in places if (place / FILE_NAME).is_file())


def _snapshots(cache: Path, model_id: str) -> list[Path]:
    """Folders of a hub cache's revisions: the one `main` points at, then the newest first."""
    model = cache / f"models--{model_id.replace('/', '--')}"
    folders = [place for place in (model / "snapshots").glob("*") if place.is_dir()]
    main = model / "refs" / "main"
    head = main.read_text("utf-8").strip() if main.is_file() else ""
    return sorted(folders, key=lambda place: (place.name != head, -place.stat().st_mtime))
