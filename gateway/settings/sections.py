"""Everything an operator can decide, as frozen sections. Secrets print as asterisks."""

from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field

from gateway.settings.fields import (
    OptionalInt,
    OptionalPath,
    OptionalStr,
    Secrets,
    Section,
)
from gateway.settings.services import (
    CacheSettings,
    CanarySettings,
    EdgeSettings,
    LLMSettings,
    LocalSettings,
    OpenAISettings,
    QdrantSettings,
    RerankSettings,
    TEISettings,
)


class CollectionSettings(Section):
    """What new collections are like unless they say otherwise."""

    lexical: bool = Field(default=True, description="Index words beside vectors")
    language: str = Field(
        default="auto",
        description="Stop words and stemmer of the words: english, russian, ...; auto: by script",
    )
    coarse: OptionalInt = Field(
        default=None, description="Size of short vectors beside, for a first pass; empty: none"
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
    recording: OptionalPath = Field(
        default=None, description="Recorded vectors that the encoder must reproduce"
    )
    size: OptionalInt = Field(default=None, description="Vector size of new collections")
    encoder: Literal["auto", "tei", "openai", "local", "minilm", "fake"] = Field(
        default="auto",
        description="auto: tei or openai where its address is set, else the embedded minilm",
    )
    store: Literal["auto", "qdrant", "edge", "memory"] = Field(
        default="auto", description="auto: qdrant when qdrant.url is set, else the embedded edge"
    )
    threads: int = Field(default=1, ge=1, description="CPU threads of an in-process model")
    tei: TEISettings = TEISettings()
    openai: OpenAISettings = OpenAISettings()
    local: LocalSettings = LocalSettings()
    cache: CacheSettings = CacheSettings()
    canary: CanarySettings = CanarySettings()
    collections: CollectionSettings = CollectionSettings()
    rerank: RerankSettings = RerankSettings()
    llm: LLMSettings = LLMSettings()
    qdrant: QdrantSettings = QdrantSettings()
    edge: EdgeSettings = EdgeSettings()
    ingest: IngestSettings = IngestSettings()
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()

    @property
    def encoder_kind(self) -> str:
        if self.encoder != "auto":
            return self.encoder
        if self.tei.urls:
            return "tei"
        return "openai" if self.openai.url else "minilm"

    @property
    def rerank_kind(self) -> str:
        if self.rerank.kind != "auto":
            return self.rerank.kind
        return "tei" if self.rerank.urls else "none"

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
