"""Settings: flags over environment over `gateway.toml` over defaults. The only reader of both.

`GATEWAY_TEI__URLS=http://a:80,http://b:80` sets `tei.urls`; in TOML it is `[tei] urls = [...]`.
Nothing is read at import, and loading does no I/O but reading the file.
"""

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)

from gateway.embedding.profile import FORBIDDEN_DTYPES
from gateway.errors import ConfigurationError

PREFIX = "GATEWAY_"
CONFIG_VARIABLE = "GATEWAY_CONFIG"
CONFIG_FILE = Path("gateway.toml")


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _not_half(value: object) -> object:
    if isinstance(value, str) and value.lower() in FORBIDDEN_DTYPES:
        raise ValueError(
            f"{value!r} is refused: EmbeddingGemma overflows half precision without an error; "
            "use float32 or bfloat16"
        )
    return value


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


Strings = Annotated[tuple[str, ...], BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_split)]
OptionalStr = Annotated[str | None, BeforeValidator(_blank_is_none)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_blank_is_none)]
OptionalPath = Annotated[Path | None, BeforeValidator(_blank_is_none)]
OptionalInt = Annotated[int | None, BeforeValidator(_blank_is_none)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TEISettings(Section):
    """Text Embeddings Inference servers. Set `urls` to use them."""

    urls: Strings = Field(default=(), description="Base URLs of TEI replicas, comma separated")
    api_key: OptionalSecret = Field(default=None, description="TEI's --api-key")
    timeout_seconds: float = Field(default=30.0, gt=0, description="Deadline of one embedding call")
    connect_timeout_seconds: float = Field(
        default=5.0, gt=0, description="Time to open a connection"
    )
    max_in_flight: int = Field(default=256, ge=1, description="Most inputs in flight per replica")
    tokenizer: OptionalPath = Field(
        default=None,
        description="tokenizer.json of the model, or a hub cache that holds it; else /tokenize",
    )


class LocalSettings(Section):
    """sentence-transformers in this process (extra `local`)."""

    model: OptionalStr = Field(
        default=None, description="Model folder or hub id; the profile's by default"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Where to run"
    )
    dtype: Annotated[Literal["auto", "float32", "bfloat16"], BeforeValidator(_not_half)] = Field(
        default="auto", description="auto, float32 or bfloat16; float16 is refused"
    )


class QdrantSettings(Section):
    """A Qdrant server. Set `url` to use it."""

    url: OptionalStr = Field(default=None, description="Base URL of the REST API")
    api_key: OptionalSecret = Field(default=None, description="Qdrant's API key")
    grpc_port: OptionalInt = Field(
        default=6334, description="Port of gRPC upserts; empty: REST only"
    )
    search_timeout_seconds: int = Field(default=5, ge=1, description="Deadline of one search")
    write_timeout_seconds: int = Field(default=60, ge=1, description="Deadline of one write")


class EdgeSettings(Section):
    """The embedded engine (extra `embedded`), used when no Qdrant URL is set."""

    flush_seconds: float = Field(
        default=3.0, gt=0, description="Longest time between flushes to disk"
    )
    sync_writes: bool = Field(
        default=False,
        description="Flush before acknowledging: survives power loss, not only kill -9",
    )
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="Deadline of one call to the engine"
    )


class IngestSettings(Section):
    """How documents become chunks."""

    chunk_tokens: int = Field(
        default=256, ge=16, description="Most tokens of a chunk, prompt and title too"
    )
    overlap_tokens: int = Field(
        default=0, ge=0, description="Tokens that neighbouring chunks share"
    )


class ServerSettings(Section):
    """The HTTP server."""

    host: str = Field(default="127.0.0.1", description="Address to bind")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to bind")
    api_keys: Secrets = Field(default=(), description="Accepted keys, comma separated; none: open")
    allow_open: bool = Field(
        default=False, description="Bind a non-loopback address although no API key is set"
    )
    default_task: OptionalStr = Field(
        default=None,
        description="Task of /v1/embeddings calls that name none; unset: they are refused",
    )
    max_body_bytes: int = Field(default=32_000_000, ge=1_000, description="Largest JSON body")
    max_stream_bytes: int = Field(
        default=10_000_000_000, ge=1_000, description="Largest NDJSON stream"
    )
    max_inputs: int = Field(default=2_048, ge=1, description="Most inputs of one embedding request")
    request_timeout_seconds: float = Field(
        default=120.0, gt=0, description="Deadline of one request"
    )
    shutdown_seconds: int = Field(
        default=30, ge=0, description="Time that requests in flight get to finish"
    )


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level"
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, else json"
    )


class Settings(Section):
    """Everything an operator can decide. Frozen; secrets print as asterisks."""

    data_dir: Path = Field(
        default_factory=lambda: user_data_path("tei-rag-gateway"),
        description="Where the embedded store lives",
    )
    profile: str = Field(
        default="auto",
        description="Model profile; auto: embeddinggemma-300m, or the embedded model's",
    )
    profiles_file: OptionalPath = Field(
        default=None, description="TOML file with further model profiles"
    )
    size: OptionalInt = Field(default=None, description="Vector size of new collections")
    encoder: Literal["auto", "tei", "local", "minilm", "fake"] = Field(
        default="auto", description="auto: tei when tei.urls is set, else the embedded minilm"
    )
    store: Literal["auto", "qdrant", "edge", "memory"] = Field(
        default="auto", description="auto: qdrant when qdrant.url is set, else the embedded edge"
    )
    threads: int = Field(default=1, ge=1, description="CPU threads of an in-process model")
    tei: TEISettings = TEISettings()
    local: LocalSettings = LocalSettings()
    qdrant: QdrantSettings = QdrantSettings()
    edge: EdgeSettings = EdgeSettings()
    ingest: IngestSettings = IngestSettings()
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()

    @property
    def encoder_kind(self) -> str:
        if self.encoder != "auto":
            return self.encoder
        return "tei" if self.tei.urls else "minilm"

    @property
    def store_kind(self) -> str:
        if self.store != "auto":
            return self.store
        return "qdrant" if self.qdrant.url else "edge"

    @property
    def profile_name(self) -> str:
        if self.profile != "auto":
            return self.profile
        return "all-minilm-l6-v2" if self.encoder_kind == "minilm" else "embeddinggemma-300m"


Layer = dict[str, Any]
"""Settings as given by one source: nested dicts keyed by field names."""


def load_settings(
    flags: Layer | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
) -> Settings:
    """Merge the layers and validate them.

    Raises:
        ConfigurationError: an unknown or unusable setting; names it, its source and the nearest.
    """
    return _validate(_merge(*(layer for _, layer in layers(flags, environ, config_file))))


def layers(
    flags: Layer | None = None,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
) -> list[tuple[str, Layer]]:
    """Return the sources with what each sets, weakest first: file, environment, flags."""
    variables = os.environ if environ is None else environ
    path = config_file or (Path(v) if (v := variables.get(CONFIG_VARIABLE)) else None)
    return [
        (str(path or CONFIG_FILE), _from_file(path)),
        ("environment", _from_environment(variables)),
        ("flag", flags or {}),
    ]


def known_paths(model: type[BaseModel] = Settings, prefix: tuple[str, ...] = ()) -> list[str]:
    """Every setting as a dotted path, in order of declaration."""
    found: list[str] = []
    for name, info in model.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            found += known_paths(kind, (*prefix, name))
        else:
            found.append(".".join((*prefix, name)))
    return found


def variable_name(path: str) -> str:
    """Environment variable of a dotted path: `tei.urls` is `GATEWAY_TEI__URLS`."""
    return PREFIX + path.replace(".", "__").upper()


def _from_file(path: Path | None) -> Layer:
    if path is None and not CONFIG_FILE.is_file():
        return {}
    try:
        return tomllib.loads((path or CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise ConfigurationError(f"cannot read settings from {path or CONFIG_FILE}: {exc}") from exc


def _from_environment(variables: Mapping[str, str]) -> Layer:
    known = {variable_name(path): path for path in known_paths()}
    layer: Layer = {}
    for name, value in variables.items():
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper == CONFIG_VARIABLE:
            continue
        if upper not in known:
            raise ConfigurationError(
                f"environment variable {name!r} is no setting{_nearest(upper, known)}"
            )
        _set(layer, known[upper].split("."), value)
    return layer


def _set(layer: Layer, path: list[str], value: object) -> None:
    for key in path[:-1]:
        layer = layer.setdefault(key, {})
    layer[path[-1]] = value


def _merge(*found: Layer) -> Layer:
    merged: Layer = {}
    for layer in found:
        for key, value in layer.items():
            if isinstance(value, dict) and isinstance(merged.get(key), dict):
                merged[key] = _merge(merged[key], cast("Layer", value))
            else:
                merged[key] = value
    return merged


def _validate(merged: Layer) -> Settings:
    try:
        return Settings.model_validate(merged)
    except ValidationError as exc:
        raise ConfigurationError("; ".join(_explain(error) for error in exc.errors())) from exc


def _explain(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{path!r} is no setting{_nearest(path, known_paths())}"
    return f"setting {path!r} ({variable_name(path)}): {error['msg']}"


def _nearest(name: str, known: Any) -> str:
    close = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return (
        f"; did you mean {close[0]!r}?" if close else "; see 'gateway config show' for all of them"
    )
