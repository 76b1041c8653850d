"""Settings of what stands behind the gateway: models, stores, caches."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from gateway.settings.fields import (
    OptionalCacheUrl,
    OptionalInt,
    OptionalPath,
    OptionalSecret,
    OptionalStr,
    OptionalUrl,
    Section,
    Urls,
    not_half,
)


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
    dtype: Annotated[Literal["auto", "float32", "bfloat16"], BeforeValidator(not_half)] = Field(
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
        "reconnect: at most 13 short texts a time, and 5 long ones every tenth time; 0: never",
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
