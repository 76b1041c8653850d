"""Everything an operator can decide, as frozen sections. Secrets print as asterisks."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from gateway.embedding.profile import FORBIDDEN_DTYPES


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


def _require_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is no address; write http://host:port")
    if parts.username or parts.password:
        raise ValueError("carries a user or password; set api_key instead")
    return value


def _require_cache_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"redis", "rediss", "valkey", "valkeys"} or not parts.hostname:
        raise ValueError("is no address; write valkey://host:6379 (valkeys:// for TLS)")
    if parts.username or parts.password:
        raise ValueError("carries a user or password; set username and password instead")
    return value


def _blank_is_none(value: object) -> object:
    return None if value == "" else value


Url = Annotated[str, AfterValidator(_require_url)]
Urls = Annotated[tuple[Url, ...], BeforeValidator(_split)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_split)]
OptionalStr = Annotated[str | None, BeforeValidator(_blank_is_none)]
OptionalUrl = Annotated[Url | None, BeforeValidator(_blank_is_none)]
OptionalCacheUrl = Annotated[
    Annotated[str, AfterValidator(_require_cache_url)] | None, BeforeValidator(_blank_is_none)
]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_blank_is_none)]
OptionalPath = Annotated[Path | None, BeforeValidator(_blank_is_none)]
OptionalInt = Annotated[int | None, BeforeValidator(_blank_is_none)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TEISettings(Section):
    """Text Embeddings Inference servers. Set `urls` to use them."""

    urls: Urls = Field(default=(), description="Base URLs of TEI replicas, comma separated")
    api_key: OptionalSecret = Field(default=None, description="TEI's --api-key")
    timeout_seconds: float = Field(
        default=60.0, gt=0, description="Deadline of one request, repetitions included"
    )
    read_timeout_seconds: float = Field(
        default=30.0, gt=0, description="Longest silence within one attempt"
    )
    connect_timeout_seconds: float = Field(
        default=5.0, gt=0, description="Time to open a connection"
    )
    pool_timeout_seconds: float = Field(
        default=10.0, gt=0, description="Time to wait for a free connection"
    )
    max_in_flight: int = Field(
        default=1024,
        ge=1,
        description="Most inputs in flight per replica, where the server allows more",
    )
    hedge: bool = Field(
        default=False,
        description="Ask a query that is later than the p95 of a second replica as well",
    )
    discovery_seconds: float = Field(
        default=10.0,
        ge=0,
        description="How often names are looked up again for replicas added or gone; 0: never",
    )
    verify_goldens: bool = Field(
        default=True,
        description="Hold each replica against the worked examples of the model card",
    )
    tokenizer: OptionalPath = Field(
        default=None,
        description="tokenizer.json of the model, or a hub cache that holds it; else /tokenize",
    )
    expect_gpu: bool = Field(
        default=False,
        description="The servers have GPUs: the doctor finds one that fell back to its CPU",
    )


class OpenAISettings(Section):
    """A server of OpenAI's `/v1/embeddings`: llama.cpp, vLLM, another gateway. Set `url` to use it."""

    url: OptionalUrl = Field(default=None, description="Base URL, with or without /v1")
    api_key: OptionalSecret = Field(default=None, description="Key sent as a bearer token")
    model: OptionalStr = Field(
        default=None, description="Name of the model in requests; else the one that it lists"
    )
    quantization: OptionalStr = Field(
        default=None,
        pattern="^[a-z0-9_]+$",
        description="Kind of the server's quantised weights, such as q8_0: a space of its own",
    )
    tokenizer: OptionalPath = Field(
        default=None,
        description="tokenizer.json of the model, or a hub cache that holds it; required",
    )
    timeout_seconds: float = Field(default=30.0, gt=0, description="Deadline of one embedding call")
    connect_timeout_seconds: float = Field(
        default=5.0, gt=0, description="Time to open a connection"
    )
    max_batch: int = Field(default=32, ge=1, description="Most texts of one request")
    max_in_flight: int = Field(default=4, ge=1, description="Most requests in flight")


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


class CacheSettings(Section):
    """Vectors that were computed once, found again. Off unless `kind` is set."""

    kind: Literal["none", "memory", "disk", "valkey"] = Field(
        default="none", description="none, memory, disk, or valkey for several gateways"
    )
    max_bytes: int = Field(
        default=256_000_000,
        ge=1_000_000,
        description="Most bytes held in memory or on disk; a server bounds its own",
    )
    path: OptionalPath = Field(
        default=None, description="Folder of the cache on disk; `cache` under data_dir by default"
    )
    url: OptionalCacheUrl = Field(
        default=None, description="Address of a Valkey or Redis server: valkey://host:6379/0"
    )
    username: OptionalStr = Field(default=None, description="User of that server")
    password: OptionalSecret = Field(default=None, description="Password of that server")
    ttl_seconds: OptionalInt = Field(
        default=2_592_000, ge=1, description="How long that server keeps an entry; empty: no limit"
    )


class CanarySettings(Section):
    """Known texts embedded again and again beside the work, to notice a server that drifts."""

    seconds: float = Field(
        default=300.0,
        ge=0,
        description="How often `gateway serve` asks each server, jittered, and soon after a "
        "reconnect: some 5 short texts a time; 0: never",
    )


class RerankSettings(Section):
    """A cross-encoder that reads the best hits again. Set `urls`, or `kind` to local."""

    kind: Literal["auto", "none", "tei", "local"] = Field(
        default="auto",
        description="auto: tei where urls are set, else none; local: in this process",
    )
    urls: Urls = Field(default=(), description="Base URLs of TEI rerankers, comma separated")
    model: OptionalStr = Field(
        default=None,
        description="Model that the servers must serve, or that is loaded; local without one: "
        "BAAI/bge-reranker-v2-m3 (multilingual)",
    )
    api_key: OptionalSecret = Field(default=None, description="TEI's --api-key")
    raw_scores: bool = Field(
        default=False, description="The model's own numbers instead of probabilities"
    )
    candidates: int = Field(
        default=50, ge=1, le=1_000, description="Hits read again unless a search says otherwise"
    )
    on_failure: Literal["error", "skip"] = Field(
        default="error",
        description="Fail a search with the reranker, or leave its hits as they were",
    )
    timeout_seconds: float = Field(
        default=10.0, gt=0, description="Deadline of one reranking, repetitions included"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        default="auto", description="Where a local one runs"
    )


class LLMSettings(Section):
    """A language model that writes questions for golden sets: any server of OpenAI's chat API."""

    url: OptionalUrl = Field(default=None, description="Base URL, with or without /v1")
    model: OptionalStr = Field(default=None, description="Name of the model in requests")
    api_key: OptionalSecret = Field(default=None, description="Key sent as a bearer token")
    timeout_seconds: float = Field(default=120.0, gt=0, description="Deadline of one request")


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


class QdrantSettings(Section):
    """A Qdrant server. Set `url` to use it."""

    url: OptionalUrl = Field(default=None, description="Base URL of the REST API")
    api_key: OptionalSecret = Field(default=None, description="Qdrant's API key")
    grpc_port: OptionalInt = Field(
        default=6334, description="Port of gRPC upserts; empty: REST only"
    )
    search_timeout_seconds: int = Field(default=5, ge=1, description="Deadline of one search")
    write_timeout_seconds: int = Field(default=60, ge=1, description="Deadline of one write")


class EdgeSettings(Section):
    """The embedded engine, used when no Qdrant URL is set."""

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
    index_from: int = Field(
        default=50_000, ge=1, description="Chunks from which a collection is indexed; below: exact"
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
