"""Is this the server we think it is? Pure checks over what `/info` and one probe tell.

Sources: TEI's change log and issues (local directories lose their Dense layers before 1.8.3, #732;
EmbeddingGemma loads from 1.8.1), and the model card (no float16).
"""

import re
from dataclasses import dataclass
from typing import Final, NoReturn

from gateway.domain.recording import Recording
from gateway.errors import UnsupportedServer
from gateway.tei.wire import Info

OLDEST: Final = (1, 8, 1)
DENSE_FROM_DIRECTORY: Final = (1, 8, 3)
ADVISED: Final = "1.9.3"
PROBE: Final = "a"
PROBE_TOKENS: Final = 4
"""Most tokens of the one-letter probe: the letter, perhaps a word mark, and two specials."""
HALF: Final = frozenset({"float16", "fp16", "f16", "half"})
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """A worked example of the model card as final strings: cosines of `query` to each document."""

    query: str
    documents: tuple[str, ...]
    size: int
    similarities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a server must serve.

    `model_ids` are the hub names it may go by (the first is ours), `size` the length of its full
    vectors, `max_tokens` the longest input it must read, `dtypes` what it may compute in, `goldens`
    and `recording` what its vectors must reproduce, `canaries` the texts whose vectors it must repeat
    from then on, `long_canary` one that is longer than a sliding window ("": none), and `window` the
    tokens that such a window spans (0: the model has none).
    """

    model_ids: tuple[str, ...]
    size: int
    max_tokens: int
    dtypes: tuple[str, ...]
    goldens: tuple[GoldenCheck, ...] = ()
    recording: Recording | None = None
    canaries: tuple[str, ...] = ()
    long_canary: str = ""
    window: int = 0


def require_supported(where: str, info: Info, expect: Expectation) -> None:
    """Refuse a server that would answer wrongly, by what it says of itself.

    Raises:
        UnsupportedServer: with what is wrong and the remedy.
    """
    require_version(where, info)
    require_model(where, info, expect)
    require_dtype(where, info, expect)
    require_uncut(where, info, expect)


def require_model(where: str, info: Info, expect: Expectation) -> None:
    """Refuse a server of another model, where it names one; a folder's name says nothing."""
    if not info.embeds:
        refuse(where, f"serves {info.model_id!r}, a {info.kind} model", "serve an embedding model")
    if is_hub_id(info.model_id) and info.model_id not in expect.model_ids:
        refuse(
            where,
            f"serves model {info.model_id!r}, but {' or '.join(map(repr, expect.model_ids))} is "
            "configured",
            "start it with the configured --model-id, or configure the model that it serves",
        )


def require_uncut(where: str, info: Info, expect: Expectation) -> None:
    """Refuse a server that truncates texts which the model reads."""
    if info.auto_truncate and info.max_input_length < expect.max_tokens:
        refuse(
            where,
            f"cuts texts at {info.max_input_length} tokens without a word (auto_truncate is on), "
            f"but the model reads {expect.max_tokens}",
            f"start TEI {ADVISED} with --auto-truncate false",
        )


def is_hub_id(model_id: str) -> bool:
    """Tell a name on the hub from a folder."""
    return _HUB_ID.fullmatch(model_id) is not None


def version_of(text: str) -> tuple[int, ...]:
    """Return the three numbers of a version; () when it has none."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", text)
    return tuple(map(int, found.groups())) if found else ()


def require_probe(where: str, size: int, tokens: int, expect: Expectation) -> None:
    """Refuse a server by its answer to `PROBE`: `size` of the vector and `tokens` read.

    Raises:
        UnsupportedServer: the vectors are another model's, or a prompt is put before every text.
    """
    if size != expect.size:
        refuse(
            where,
            f"makes vectors of size {size}, but {expect.model_ids[0]!r} has {expect.size}",
            "it serves another model, or one whose Dense layers were not loaded: check --model-id, "
            f"and use TEI {ADVISED}",
        )
    if tokens > PROBE_TOKENS:
        refuse(
            where,
            f"read {tokens} tokens in a text of one letter: it adds a prompt of its own",
            "start it without --default-prompt and --default-prompt-name; prompts are added here",
        )


def require_version(where: str, info: Info) -> None:
    """Refuse a server that is too old for the model, or for the way it was given the model."""
    version = version_of(info.version)
    if not version:
        refuse(where, f"names its version {info.version!r}", f"use TEI {ADVISED}")
    if version < OLDEST:
        refuse(
            where,
            f"is version {info.version}, which does not know this model's architecture",
            f"use TEI {ADVISED} (1.8.1 is the oldest that can work)",
        )
    if version < DENSE_FROM_DIRECTORY and not is_hub_id(info.model_id):
        refuse(
            where,
            f"is version {info.version} and serves the local directory {info.model_id!r}: it skips "
            "the model's Dense layers there and answers wrong vectors without an error",
            f"use TEI {ADVISED} (mended in 1.8.3), or serve the model by its hub name",
        )


def require_dtype(where: str, info: Info, expect: Expectation) -> None:
    """Refuse a server that computes in half precision, or in a dtype that the model does not allow."""
    if info.model_dtype in HALF:
        refuse(
            where,
            f"computes in {info.model_dtype!r}: the model's activations overflow half precision "
            "without an error",
            "start it with --dtype float32",
        )
    if info.model_dtype not in expect.dtypes:
        refuse(
            where,
            f"computes in {info.model_dtype!r}, but the model allows {' or '.join(expect.dtypes)}",
            f"start it with --dtype {expect.dtypes[0]}",
        )


def refuse(where: str, what: str, remedy: str) -> NoReturn:
    """Raise the error of a server that would answer wrongly."""
    raise UnsupportedServer(f"TEI at {where} {what}: {remedy}")
