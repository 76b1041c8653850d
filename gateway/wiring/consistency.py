"""What settings say together: refused where it cannot work, before anything is opened."""

from typing import TYPE_CHECKING

from gateway.domain.lexical import Lexical
from gateway.embedding.catalog import (
    ALL_MINILM_L6_V2,
    CATALOG,
    find_profile,
    load_profiles,
)
from gateway.embedding.fingerprint import fingerprint
from gateway.embedding.profile import ModelProfile
from gateway.errors import ConfigurationError, InvalidRequest, UnknownTask
from gateway.ingest.chunking import require_overlap
from gateway.retrieval.query import OnFailure, Rerank
from gateway.settings import Settings

if TYPE_CHECKING:  # adapters are imported when they are used
    pass


def usual_lexical(settings: Settings) -> Lexical | None:
    """How the words of new collections are weighed; None: they are not indexed.

    Raises:
        ConfigurationError: the language has no stemmer.
    """
    return weighing(settings) if settings.collections.lexical else None


def weighing(settings: Settings) -> Lexical:
    """How words are weighed where somebody asks for them, though they are not usually indexed.

    Raises:
        ConfigurationError: the language has no stemmer.
    """
    try:
        return Lexical(settings.collections.language)
    except InvalidRequest as exc:
        raise ConfigurationError(f"collections.language is not usable: {exc}") from exc


def usual_rerank(settings: Settings) -> Rerank:
    """How hits are read again where a search does not say it."""
    return Rerank(settings.rerank.candidates, OnFailure(settings.rerank.on_failure))


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
        profile.require_size(settings.collections.coarse, field="collections.coarse")
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
