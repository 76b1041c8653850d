"""The only place where parts are joined. It owns their lifetimes."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.domain.collections import Lexical
from gateway.domain.recording import Recording
from gateway.embedding.canaries import canary_texts, long_canary
from gateway.embedding.catalog import (
    ALL_MINILM_L6_V2,
    CATALOG,
    card_of,
    find_profile,
    load_profiles,
)
from gateway.embedding.embedder import Embedder
from gateway.embedding.fingerprint import fingerprint, space_of
from gateway.embedding.profile import ModelProfile
from gateway.errors import ConfigurationError, InvalidRequest, UnknownTask
from gateway.events import Sink, discard, fan_out
from gateway.ingest.chunking import require_overlap
from gateway.ingest.pipeline import Ingestor
from gateway.observability.logs import log_events
from gateway.observability.metrics import Metrics
from gateway.ports import Encoder, Generator, Health, Reranker, VectorStore
from gateway.retrieval.collections import Collections
from gateway.retrieval.pipeline import Retriever
from gateway.retrieval.query import OnFailure, Rerank
from gateway.settings import Settings

if TYPE_CHECKING:  # adapters are imported when they are used
    from gateway.encoders.caches.port import Cache
    from gateway.tei.identity import Expectation


@dataclass(frozen=True, slots=True)
class Runtime:
    """The joined parts of a running gateway."""

    settings: Settings
    embedder: Embedder
    store: VectorStore
    collections: Collections
    retriever: Retriever
    ingestor: Ingestor
    metrics: Metrics
    reranker: Reranker | None = None

    async def health(self) -> list[Health]:
        """State of every dependency."""
        found = [await self.embedder.encoder.health(), await self.store.health()]
        return found if self.reranker is None else [*found, await self.reranker.health()]


@asynccontextmanager
async def open_runtime(settings: Settings) -> AsyncGenerator[Runtime, None]:
    """Open encoder and store as configured, join the rest, close them in reverse order.

    Servers that are down do not stop it (their calls fail and `/readyz` says so); servers that
    would answer wrongly do.

    Raises:
        ConfigurationError: a setting, an extra, a pinned file or a server is not usable.
    """
    profile = require_consistent(settings)
    metrics = Metrics()
    sink = fan_out(metrics, log_events)
    async with AsyncExitStack() as stack:
        encoder = await open_encoder(settings, profile, sink)
        stack.push_async_callback(encoder.aclose)
        embedder = Embedder(profile, encoder, sink=sink)
        store = await open_store(settings, sink)
        stack.push_async_callback(store.aclose)
        reranker = await open_reranker(settings, sink)
        if reranker is not None:
            stack.push_async_callback(reranker.aclose)
        yield join(settings, embedder, store, metrics=metrics, reranker=reranker)


def join(
    settings: Settings,
    embedder: Embedder,
    store: VectorStore,
    *,
    metrics: Metrics,
    reranker: Reranker | None = None,
) -> Runtime:
    """Build the use cases over an open embedder and store; tests join fakes here."""
    require_default_task(settings, embedder.profile)
    sink = fan_out(metrics, log_events)
    collections = Collections(
        embedder,
        store,
        size=settings.size,
        lexical=usual_lexical(settings),
        coarse=settings.collections.coarse,
    )
    return Runtime(
        settings=settings,
        embedder=embedder,
        store=store,
        collections=collections,
        retriever=Retriever(
            embedder,
            store,
            collections,
            reranker=reranker,
            usual_rerank=Rerank(settings.rerank.candidates, OnFailure(settings.rerank.on_failure)),
            sink=sink,
        ),
        ingestor=Ingestor(
            embedder,
            store,
            chunk_tokens=min(settings.ingest.chunk_tokens, embedder.max_tokens),
            overlap_tokens=settings.ingest.overlap_tokens,
            sink=sink,
        ),
        metrics=metrics,
        reranker=reranker,
    )


def usual_lexical(settings: Settings) -> Lexical | None:
    """How the words of new collections are weighed; None: they are not indexed.

    Raises:
        ConfigurationError: the language has no stemmer.
    """
    if not settings.collections.lexical:
        return None
    try:
        return Lexical(settings.collections.language)
    except InvalidRequest as exc:
        raise ConfigurationError(f"collections.language is not usable: {exc}") from exc


def require_consistent(settings: Settings) -> ModelProfile:
    """Return the profile in force, or refuse settings that cannot work together; opens nothing.

    Raises:
        ConfigurationError, InvalidRequest: names the setting and the remedy.
    """
    profiles = load_profiles(settings.profiles_file) if settings.profiles_file else CATALOG
    profile = find_profile(settings.profile_name, profiles)
    kind = profile.require_encoder(settings.encoder_kind)
    if kind == "tei" and not settings.tei.urls:
        raise ConfigurationError("encoder 'tei' needs addresses: set tei.urls (GATEWAY_TEI__URLS)")
    if kind == "openai" and not (settings.openai.url and settings.openai.tokenizer):
        raise ConfigurationError(
            "encoder 'openai' needs an address and the model's tokenizer.json, with which texts are "
            "counted exactly: set openai.url (GATEWAY_OPENAI__URL) and openai.tokenizer "
            "(GATEWAY_OPENAI__TOKENIZER)"
        )
    if kind == "minilm" and ALL_MINILM_L6_V2.model_id not in (profile.model_id, *profile.aliases):
        raise ConfigurationError(
            f"profile {profile.name!r} is not the embedded model: set tei.urls (GATEWAY_TEI__URLS) "
            "or encoder=local to serve it, or leave profile unset to use the embedded one"
        )
    if settings.store_kind == "qdrant" and not settings.qdrant.url:
        raise ConfigurationError("store 'qdrant' needs an address: set qdrant.url")
    if settings.cache.kind == "valkey" and not settings.cache.url:
        raise ConfigurationError("cache 'valkey' needs an address: set cache.url")
    if settings.size is not None:
        profile.require_size(settings.size)
    if settings.collections.coarse is not None:
        profile.require_size(settings.collections.coarse)
    usual_lexical(settings)
    _require_reranker(settings)
    require_default_task(settings, profile)
    ingest = settings.ingest
    require_overlap(ingest.overlap_tokens, min(ingest.chunk_tokens, profile.max_tokens))
    return profile


def _require_reranker(settings: Settings) -> None:
    if settings.rerank_kind != "tei":
        return
    if not settings.rerank.urls:
        raise ConfigurationError(
            "reranker 'tei' needs addresses: set rerank.urls (GATEWAY_RERANK__URLS)"
        )
    if settings.rerank.model is not None:
        from gateway.rerankers.catalogue import require_served_by_tei  # noqa: PLC0415

        require_served_by_tei(settings.rerank.model)


def served_space(settings: Settings, profile: ModelProfile, kind: str | None = None) -> str:
    """Fingerprint of the vectors that an encoder (the configured one) makes; opens nothing."""
    kind = kind or settings.encoder_kind
    if kind == "minilm":
        from gateway.encoders.minilm import MODEL_FILE  # noqa: PLC0415

        return fingerprint(profile, quantization="int8", weights_sha256=MODEL_FILE.sha256)
    marks = {
        "fake": {"variant": "fake"},
        "openai": {"quantization": settings.openai.quantization or ""},
    }
    return fingerprint(profile, **marks.get(kind, {}))


def require_default_task(settings: Settings, profile: ModelProfile) -> None:
    """Refuse a default task that the profile has no prompt for.

    Raises:
        ConfigurationError: names the setting and the tasks there are.
    """
    if settings.server.default_task is None:
        return
    try:
        profile.prompt(settings.server.default_task)
    except UnknownTask as exc:
        raise ConfigurationError(f"server.default_task is not usable: {exc}") from exc


async def open_encoder(settings: Settings, profile: ModelProfile, sink: Sink) -> Encoder:
    """Open the encoder that the settings name; adapters are imported only when they are used.

    Calls that ask for the same text at once share it; a cache, when one is set, is asked first.
    """
    from gateway.encoders.single_flight import SingleFlightEncoder  # noqa: PLC0415

    encoder = await _open_recorded(settings, profile, sink)
    if settings.canary.seconds and settings.encoder_kind != "tei":
        from gateway.encoders.canary import CanaryEncoder  # noqa: PLC0415

        expect = expectation(settings, profile)
        made = encoder
        encoder = CanaryEncoder(
            made,
            expect,
            seconds=settings.canary.seconds,
            connections=lambda: getattr(made, "connections", 0),
            sink=sink,
        )
    if settings.cache.kind == "none":
        return SingleFlightEncoder(encoder, sink=sink)
    from gateway.encoders.cached import CachedEncoder  # noqa: PLC0415

    try:
        space = space_of(profile, encoder.info) + recorded_mark(settings, profile)
        cache = await open_cache(settings, sink)
    except BaseException:
        await encoder.aclose()
        raise
    return SingleFlightEncoder(CachedEncoder(encoder, cache, space, sink=sink), sink=sink)


async def _open_recorded(settings: Settings, profile: ModelProfile, sink: Sink) -> Encoder:
    """Open an encoder and hold it against the recording; TEI's replicas are held each, and again."""
    recording = load_recording(settings, profile)
    encoder = await ENCODERS[settings.encoder_kind](settings, profile, sink)
    if recording is None or settings.encoder_kind == "tei":
        return encoder
    from gateway.encoders.recorded import require_recorded  # noqa: PLC0415

    try:
        await require_recorded(encoder, recording)
    except BaseException:
        await encoder.aclose()
        raise
    return encoder


async def open_cache(settings: Settings, sink: Sink) -> "Cache":
    """Open the cache that the settings name; its failures are events, never errors."""
    from gateway.encoders.caches.guard import GuardedCache  # noqa: PLC0415

    return GuardedCache(await CACHES[settings.cache.kind](settings), sink=sink)


async def open_reranker(settings: Settings, sink: Sink) -> Reranker | None:
    """Open the reranker that the settings name; None where they name none.

    Raises:
        MissingExtra, ConfigurationError: a local model cannot be loaded.
    """
    rerank = settings.rerank
    if settings.rerank_kind == "none":
        return None
    if settings.rerank_kind == "tei":
        from gateway.rerankers.tei import TEIReranker  # noqa: PLC0415

        return await TEIReranker.connect(
            rerank.urls,
            model=rerank.model,
            raw=rerank.raw_scores,
            api_key=rerank.api_key.get_secret_value() if rerank.api_key else None,
            timeout_seconds=rerank.timeout_seconds,
            sink=sink,
        )
    from gateway.rerankers.catalogue import DEFAULT_MODEL  # noqa: PLC0415
    from gateway.rerankers.local import LocalReranker  # noqa: PLC0415

    return await LocalReranker.load(
        rerank.model or DEFAULT_MODEL,
        raw=rerank.raw_scores,
        device=rerank.device,
        threads=settings.threads,
    )


def open_generator(settings: Settings, sink: Sink = discard) -> Generator | None:
    """Prepare the language model that the settings name; None where they name none.

    Raises:
        ConfigurationError: an address without a model.
    """
    llm = settings.llm
    if llm.url is None:
        return None
    if llm.model is None:
        raise ConfigurationError(
            "a language model needs a name: set llm.model (GATEWAY_LLM__MODEL)"
        )
    from gateway.generators.openai import OpenAIGenerator  # noqa: PLC0415

    key = llm.api_key.get_secret_value() if llm.api_key else None
    return OpenAIGenerator(
        llm.url, llm.model, api_key=key, timeout_seconds=llm.timeout_seconds, sink=sink
    )


async def open_store(settings: Settings, sink: Sink) -> VectorStore:
    """Open the store that the settings name."""
    return await STORES[settings.store_kind](settings, sink)


async def _tei(settings: Settings, profile: ModelProfile, sink: Sink) -> Encoder:
    from gateway.encoders.tei import Limits, TEIEncoder, Wiring  # noqa: PLC0415

    tei = settings.tei
    return await TEIEncoder.connect(
        tei.urls,
        expect=expectation(settings, profile),
        tokenizer=tei.tokenizer,
        wiring=Wiring(
            limits=Limits(
                timeout_seconds=tei.timeout_seconds,
                read_timeout_seconds=tei.read_timeout_seconds,
                connect_timeout_seconds=tei.connect_timeout_seconds,
                pool_timeout_seconds=tei.pool_timeout_seconds,
                max_in_flight=tei.max_in_flight,
            ),
            api_key=tei.api_key.get_secret_value() if tei.api_key else None,
            hedge=tei.hedge,
            discovery_seconds=tei.discovery_seconds,
            canary_seconds=settings.canary.seconds,
        ),
        sink=sink,
    )


def expectation(settings: Settings, profile: ModelProfile) -> "Expectation":
    """Describe what a server of the profile must serve and reproduce.

    Raises:
        ConfigurationError: the recording cannot be read, or is of another space.
    """
    from gateway.tei.identity import Expectation, GoldenCheck  # noqa: PLC0415

    watched = settings.canary.seconds > 0
    card = card_of(profile)
    return Expectation(
        model_ids=(profile.model_id, *profile.aliases),
        size=profile.full_size,
        max_tokens=profile.max_tokens,
        dtypes=profile.dtypes,
        goldens=tuple(
            GoldenCheck(
                card.render(golden.query_task, golden.query),
                tuple(card.render(golden.document_task, text) for text in golden.documents),
                golden.size,
                golden.similarities,
            )
            for golden in card.goldens
            if settings.tei.verify_goldens
        ),
        recording=load_recording(settings, profile),
        window=profile.window,
        canaries=canary_texts(profile) if watched else (),
        long_canary=long_canary(profile) if watched else "",
    )


async def _openai(settings: Settings, profile: ModelProfile, sink: Sink) -> Encoder:
    from gateway.encoders.openai import OpenAIEncoder  # noqa: PLC0415

    openai = settings.openai
    return await OpenAIEncoder.connect(
        openai.url or "",
        expect=expectation(settings, profile),
        tokenizer=openai.tokenizer or Path(),
        model=openai.model,
        quantization=openai.quantization or "",
        api_key=openai.api_key.get_secret_value() if openai.api_key else None,
        timeout_seconds=openai.timeout_seconds,
        connect_timeout_seconds=openai.connect_timeout_seconds,
        max_batch=openai.max_batch,
        max_in_flight=openai.max_in_flight,
        sink=sink,
    )


def load_recording(settings: Settings, profile: ModelProfile) -> Recording | None:
    """Read the recording that the settings name.

    Raises:
        ConfigurationError: it cannot be read, or is of another space than the encoder's.
    """
    if settings.recording is None:
        return None
    recording = Recording.load(settings.recording)
    served = served_space(settings, profile)
    if recording.space != served:
        raise ConfigurationError(
            f"recording {str(settings.recording)!r} is of space {recording.space!r}, but encoder "
            f"{settings.encoder_kind!r} serves profile {profile.name!r} in space {served!r}: record "
            "the reference of that space, or configure the model that was recorded"
        )
    return recording


def recorded_mark(settings: Settings, profile: ModelProfile) -> str:
    """What tells cached vectors of one recording from those of another; "" without one.

    Raises:
        ConfigurationError: as `load_recording`.
    """
    if settings.recording is None or load_recording(settings, profile) is None:
        return ""
    return "@" + blake2b(settings.recording.read_bytes(), digest_size=8).hexdigest()


async def _local(settings: Settings, profile: ModelProfile, _sink: Sink) -> Encoder:
    from gateway.encoders.local import LocalEncoder  # noqa: PLC0415

    local = settings.local
    return await LocalEncoder.load(
        local.model or profile.model_id,
        revision=None if local.model else profile.revision,
        device=local.device,
        dtype=local.dtype,
        threads=settings.threads,
        weights_sha256=profile.weights_sha256,
    )


async def _minilm(settings: Settings, _profile: ModelProfile, _sink: Sink) -> Encoder:
    from gateway.encoders.minilm import MiniLMEncoder  # noqa: PLC0415

    return await MiniLMEncoder.load(threads=settings.threads)


async def _fake(_settings: Settings, profile: ModelProfile, _sink: Sink) -> Encoder:
    from gateway.encoders.fake import FakeEncoder  # noqa: PLC0415

    return FakeEncoder(
        size=profile.full_size, max_tokens=profile.max_tokens, model_id=profile.model_id
    )


async def _memory_cache(settings: Settings) -> "Cache":
    from gateway.encoders.caches.memory import MemoryCache  # noqa: PLC0415

    return MemoryCache(max_bytes=settings.cache.max_bytes)


async def _disk_cache(settings: Settings) -> "Cache":
    from gateway.encoders.caches.disk import DiskCache  # noqa: PLC0415

    folder = settings.cache.path or settings.data_dir / "cache"
    return await DiskCache.open(folder, max_bytes=settings.cache.max_bytes)


async def _valkey_cache(settings: Settings) -> "Cache":
    from gateway.encoders.caches.valkey import ValkeyCache  # noqa: PLC0415

    cache = settings.cache
    return ValkeyCache.connect(
        cache.url or "",
        username=cache.username,
        password=cache.password.get_secret_value() if cache.password else None,
        ttl_seconds=cache.ttl_seconds,
    )


async def _qdrant(settings: Settings, sink: Sink) -> VectorStore:
    from gateway.vectorstores.qdrant import QdrantStore  # noqa: PLC0415

    qdrant = settings.qdrant
    return QdrantStore.connect(
        qdrant.url or "",
        api_key=qdrant.api_key.get_secret_value() if qdrant.api_key else None,
        grpc_port=qdrant.grpc_port,
        search_timeout_seconds=qdrant.search_timeout_seconds,
        write_timeout_seconds=qdrant.write_timeout_seconds,
        sink=sink,
    )


async def _edge(settings: Settings, sink: Sink) -> VectorStore:
    from gateway.vectorstores.edge import EdgeStore  # noqa: PLC0415

    edge = settings.edge
    return await EdgeStore.open(
        settings.data_dir / "edge",
        flush_seconds=edge.flush_seconds,
        sync_writes=edge.sync_writes,
        timeout_seconds=edge.timeout_seconds,
        index_from=edge.index_from,
        sink=sink,
    )


async def _memory(_settings: Settings, _sink: Sink) -> VectorStore:
    from gateway.vectorstores.memory import MemoryStore  # noqa: PLC0415

    return MemoryStore()


ENCODERS = {
    "tei": _tei,
    "openai": _openai,
    "local": _local,
    "minilm": _minilm,
    "fake": _fake,
}
CACHES = {"memory": _memory_cache, "disk": _disk_cache, "valkey": _valkey_cache}
STORES = {"qdrant": _qdrant, "edge": _edge, "memory": _memory}
